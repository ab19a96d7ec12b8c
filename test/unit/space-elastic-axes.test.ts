import { createRandom } from '@fleetlora/shared/random';
import {
  anchorGenome,
  bindSearchSpace,
  encodeGenome,
  parseSearchSpace,
  type SearchSpaceFile,
  sampleGenome,
  skippedLayer,
} from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';

const model = { layerCount: 2, ffnWidth: 64, kvHeads: 2 };
const file = (change: Partial<SearchSpaceFile> = {}): SearchSpaceFile => ({
  version: 1,
  name: 'elastic',
  rankMax: 4,
  alpha: 8,
  ranks: { qkv: [2, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  widthPercents: [100, 50],
  forms: ['unmerged', 'merged'],
  precisions: ['fp32', 'q4', 'q8'],
  kvHeads: [1, 2],
  skippable: [1],
  ...change,
});
const texts = (change?: Partial<SearchSpaceFile>) => {
  const space = bindSearchSpace(parseSearchSpace(file(change)), model);
  return (['max', 'middle', 'min'] as const).map((anchor) => encodeGenome(anchorGenome(space, anchor)));
};

t.test('anchors: largest, middle and smallest of every axis', async (t) => {
  t.same(texts(), ['g1:u:4.4.4.4.64/4.4.4.4.64', 'g2:u:q8:4.4.4.4.64/4.4.4.4.64', 'g2:u:q4:2.2.2.2.32.1/-']);
  const space = bindSearchSpace(file(), model);
  t.equal(encodeGenome(anchorGenome(space, 'min', 'merged')), 'g2:m:fp32:2.2.2.2.32.1/-');
});

t.test('size: 8 choices of a layer, one more where it may be left out, merged in fp32 alone', async (t) => {
  const space = bindSearchSpace(file(), model);
  t.equal(space.size, 8 * (8 + 1) * (3 + 1));
  const random = createRandom(5);
  const seen = new Set<string>();
  for (let draw = 0; draw < 20_000; draw++) {
    const genome = sampleGenome(space, random);
    seen.add(encodeGenome(genome));
    if (draw < 300) t.same(space.toGenome(space.toIndices(genome)), genome);
  }
  t.equal(seen.size, space.size, 'every genome is drawn, and none beside');
});

t.test('genomes outside are named; files that no model or form can follow are refused', async (t) => {
  const space = bindSearchSpace(file(), model);
  const outside = { form: 'unmerged' as const, layers: [skippedLayer, skippedLayer] };
  t.throws(() => space.toIndices(outside), coded('GENOME_OUTSIDE_SPACE', 'layer0'));
  const narrow = bindSearchSpace(file({ precisions: ['fp32'], kvHeads: [2], skippable: [] }), model);
  const max = anchorGenome(narrow, 'max');
  t.throws(
    () => narrow.toIndices({ ...max, precision: 'q4' }),
    coded('GENOME_OUTSIDE_SPACE', 'precision', 'q4'),
  );
  const bind =
    (change: Partial<SearchSpaceFile>, of: Parameters<typeof bindSearchSpace>[1] = model) =>
    () =>
      bindSearchSpace(parseSearchSpace(file(change)), of);
  t.throws(bind({ precisions: ['q4'] }), coded('SPACE_INVALID', 'merged', 'q4'));
  t.throws(bind({ forms: ['merged'] }), coded('SPACE_INVALID', 'merged', 'fp32'));
  t.throws(bind({ widthPercents: [100, 25] }), coded('SPACE_INVALID', '16 of 64', '32'));
  bind({ widthPercents: [100, 25], precisions: ['fp32'] })();
  t.throws(bind({ kvHeads: [3] }), coded('SPACE_INVALID', 'kvHeads offers 3', 'has 2'));
  t.throws(bind({}, { layerCount: 2, ffnWidth: 64 }), coded('SPACE_INVALID', 'no known number'));
  t.throws(bind({ skippable: [0, 1] }), coded('SPACE_INVALID', '2 layers of 2'));
  t.throws(bind({ skippable: [2] }), coded('SPACE_INVALID', 'layer 2'));
});

t.test('half of 1, 2, 3 and 8 heads, and every second of 1 to 8 layers between the ends', async (t) => {
  const named = (kvHeads: number, layerCount: number) => {
    const change = { kvHeads: 'half' as const, skippable: 'alternate' as const, layers: [0] };
    return bindSearchSpace(parseSearchSpace(file(change)), { layerCount, ffnWidth: 64, kvHeads });
  };
  const choices = (kvHeads: number) =>
    named(kvHeads, 2).genes.find(({ name }) => name.endsWith('kvHeads'))?.choices;
  t.same([1, 2, 3, 8].map(choices), [undefined, [1, 2], [2, 3], [4, 8]]);
  const layers = (count: number) =>
    named(2, count).genes.flatMap(({ name }) => (name.endsWith('.kept') ? [name.slice(5, -5)] : []));
  t.same([1, 2, 3, 4, 8].map(layers), [[], [], ['1'], ['1'], ['1', '3', '5']]);
  const half = () =>
    bindSearchSpace(parseSearchSpace(file({ kvHeads: 'half' })), { layerCount: 2, ffnWidth: 64 });
  t.throws(half, coded('SPACE_INVALID', 'kvHeads offers half', 'no known number'));
  t.throws(() => parseSearchSpace({ ...file(), kvHeads: 'all' }), coded('SPACE_INVALID', '/kvHeads'));
  t.throws(() => parseSearchSpace({ ...file(), skippable: 'inner' }), coded('SPACE_INVALID', '/skippable'));
});
