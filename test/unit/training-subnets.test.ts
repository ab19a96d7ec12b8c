import { type SamplingStrategy, sampleSubnets } from '@fleetlora/coordinator/training';
import { createRandom } from '@fleetlora/shared/random';
import {
  anchorGenome,
  bindSearchSpace,
  encodeGenome,
  presets,
  type SearchSpaceFile,
  uniformGenome,
} from '@fleetlora/shared/space';
import t from 'tap';

const space = bindSearchSpace(presets.tied as SearchSpaceFile, { layerCount: 8, ffnWidth: 768 });
const max = encodeGenome(anchorGenome(space, 'max'));
const min = encodeGenome(anchorGenome(space, 'min'));
const draw = (
  sampling: SamplingStrategy,
  randomSubnets: number,
  options: { step?: number; seed?: number } = {},
): string[] =>
  sampleSubnets(space, { sampling, randomSubnets }, options.step ?? 0, createRandom(options.seed ?? 1)).map(
    encodeGenome,
  );

t.test('sandwich with 2 random sub-networks: the largest, the smallest, then 2 others', async (t) => {
  const [first, second, ...others] = draw('sandwich', 2);
  t.equal(first, max);
  t.equal(second, min);
  t.equal(others.length, 2);
  t.notOk(others.includes(max) || others.includes(min));
  t.same(draw('sandwich', 0), [max, min]);
});

t.test('uniform: as many as asked for, at least one; the largest and smallest are not added', async (t) => {
  // One of 2·9^8 genomes is the largest: 1,000 draws hold it by chance once in 86,000 runs.
  const drawn = draw('uniform', 1000);
  t.equal(drawn.length, 1000);
  t.notOk(drawn.includes(max) || drawn.includes(min));
  t.equal(new Set(drawn).size, 1000, 'no two alike among 1,000 of 86 million');
  t.equal(draw('uniform', 1).length, 1);
  t.equal(draw('uniform', 0).length, 1);
});

t.test('rotation: the largest, and in turn rank 32 at width 384, the smallest, random, random', async (t) => {
  const narrow = encodeGenome(uniformGenome(8, 32, 384));
  const turns = [0, 1, 2, 3, 4, 5].map((step) => draw('rotation', 9, { step }));
  for (const turn of turns) {
    t.equal(turn.length, 2);
    t.equal(turn[0], max);
  }
  const [first, second, third, fourth, fifth, sixth] = turns.map(([, other]) => other);
  t.same([first, second, fifth, sixth], [narrow, min, narrow, min]);
  for (const random of [third, fourth]) t.notOk([max, min, narrow].includes(random ?? max));
});

t.test('equal seeds draw equal sub-networks, every strategy the same random ones', async (t) => {
  t.same(draw('uniform', 3), draw('uniform', 3));
  t.same(draw('sandwich', 3).slice(2), draw('uniform', 3));
  t.same(draw('rotation', 0, { step: 2 }).slice(1), draw('uniform', 1));
  t.notSame(draw('uniform', 3), draw('uniform', 3, { seed: 2 }));
});
