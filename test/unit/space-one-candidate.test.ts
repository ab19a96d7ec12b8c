import {
  anchorGenome,
  bindSearchSpace,
  decodeGenome,
  encodeGenome,
  type Genome,
  oneCandidateSpace,
  parseSearchSpace,
  presets,
  type SearchSpaceFile,
  uniformGenome,
} from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';

const tied = presets.tied as SearchSpaceFile;
const mixed: Genome = {
  form: 'unmerged',
  layers: [
    { ranks: { qkv: 4, o: 0, gateUp: 16, down: 8 }, width: 384 },
    { ranks: { qkv: 2, o: 0, gateUp: 4, down: 16 }, width: 768 },
  ],
};
const model = { layerCount: 2, ffnWidth: 768 };

t.test('of ranks up to 16 of 32 with alpha 64: rankMax 16, alpha 32, the same scale of 2', async (t) => {
  const file = oneCandidateSpace(tied, mixed);
  t.match(file, { rankMax: 16, alpha: 32, ranks: { qkv: [4], o: [0], gateUp: [16], down: [16] } });
  t.equal(file.alpha / file.rankMax, tied.alpha / tied.rankMax);
  t.same(parseSearchSpace(JSON.parse(JSON.stringify(file))), file, 'a file that can be read');
});

t.test('bound to a model it holds that genome alone, whatever its layers are like', async (t) => {
  const space = bindSearchSpace(oneCandidateSpace(tied, mixed), model);
  t.equal(space.size, 1);
  t.same(space.genes, []);
  for (const anchor of ['max', 'middle', 'min'] as const) t.same(anchorGenome(space, anchor), mixed);
  t.same(space.toIndices(mixed), []);
  t.throws(() => space.toIndices(uniformGenome(2, 4, 384)), coded('GENOME_OUTSIDE_SPACE', '4.4.4.4.384'));
});

t.test('layers left out, heads and precision are kept', async (t) => {
  const genome = decodeGenome('g2:u:q4:-/4.4.4.4.384.2');
  const space = bindSearchSpace(oneCandidateSpace(tied, genome), model);
  t.equal(encodeGenome(space.toGenome([])), 'g2:u:q4:-/4.4.4.4.384.2');
});

t.test('a candidate that does not fit is refused with both numbers', async (t) => {
  const file = oneCandidateSpace(tied, mixed);
  t.throws(() => bindSearchSpace(file, { layerCount: 3, ffnWidth: 768 }), coded('SPACE_INVALID', '2', '3'));
  t.doesNotThrow(() => bindSearchSpace(file, { layerCount: 2, ffnWidth: 768 }));
  t.throws(
    () => bindSearchSpace(file, { layerCount: 2, ffnWidth: 767 }),
    coded('SPACE_INVALID', '768', '767'),
  );
  t.throws(() => bindSearchSpace({ ...file, rankMax: 15 }, model), coded('SPACE_INVALID', '16', '15'));
  t.throws(() => bindSearchSpace({ ...file, candidate: 'g1:u:4' }, model), coded('GENOME_MALFORMED'));
  t.throws(() => oneCandidateSpace(tied, uniformGenome(2, 0, 384)), coded('BAD_REQUEST', 'rank 0'));
});

t.test(
  'its precision is the only one that the file offers; more heads than the model has are refused',
  async (t) => {
    const genome = decodeGenome('g2:u:q8:4.4.4.4.384.2/4.4.4.4.384');
    const file = oneCandidateSpace(tied, genome);
    t.same([file.precisions, oneCandidateSpace(tied, mixed).precisions], [['q8'], undefined]);
    t.doesNotThrow(() => bindSearchSpace(parseSearchSpace(file), { ...model, kvHeads: 2 }));
    t.throws(() => bindSearchSpace(file, { ...model, kvHeads: 1 }), coded('SPACE_INVALID', '2', '1'));
  },
);
