import { type SamplingStrategy, sampleSubnets } from '@fleetlora/coordinator/training';
import { createRandom } from '@fleetlora/shared/random';
import {
  anchorGenome,
  bindSearchSpace,
  encodeGenome,
  type Genome,
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

const every = bindSearchSpace(presets.full as SearchSpaceFile, { layerCount: 8, ffnWidth: 768, kvHeads: 4 });
const maxLayer = '32.32.32.32.768';
const minLayer = '4.4.4.4.384.2';
/** Layers 1, 3 and 5 of eight may be left out. */
const layersOf = (kept: string, skippable: string): string =>
  Array.from({ length: 8 }, (_, layer) => ([1, 3, 5].includes(layer) ? skippable : kept)).join('/');

t.test('sandwich with layers that may be left out: the shallowest and the thinnest in turn', async (t) => {
  const drawn = [0, 1, 2, 3].map((step) =>
    sampleSubnets(every, { sampling: 'sandwich', randomSubnets: 0 }, step, createRandom(1)).map(encodeGenome),
  );
  const whole = `g1:u:${layersOf(maxLayer, maxLayer)}`;
  const shallow = [whole, `g2:u:q4:${layersOf(minLayer, '-')}`];
  const thin = [whole, `g2:u:q4:${layersOf(minLayer, minLayer)}`];
  t.same(drawn, [shallow, thin, shallow, thin]);
});

t.test(
  'rotation: beside the largest it at its smallest width, heads and depth, then both smallest',
  async (t) => {
    const turns = Array.from({ length: 8 }, (_, step) =>
      sampleSubnets(every, { sampling: 'rotation', randomSubnets: 0 }, step, createRandom(step)).map(
        encodeGenome,
      ),
    );
    t.ok(
      turns.every(
        ([first, ...others]) => first === encodeGenome(anchorGenome(every, 'max')) && others.length === 1,
      ),
    );
    const same = (layer: string): string => layersOf(layer, layer);
    t.same(
      turns.slice(0, 5).map(([, other]) => other),
      [
        `g1:u:${same('32.32.32.32.384')}`,
        `g2:u:fp32:${same('32.32.32.32.768.2')}`,
        `g2:u:fp32:${layersOf(maxLayer, '-')}`,
        `g2:u:q4:${layersOf(minLayer, '-')}`,
        `g2:u:q4:${same(minLayer)}`,
      ],
    );
    const eighth = sampleSubnets(every, { sampling: 'rotation', randomSubnets: 0 }, 7, createRandom(0));
    t.equal(encodeGenome(eighth[1] as Genome), turns[0]?.[1], 'the round begins anew after seven');
  },
);

t.test('a space of ranks alone has nothing to be narrow in', async (t) => {
  const ranks = bindSearchSpace(presets.shears as SearchSpaceFile, { layerCount: 2, ffnWidth: 768 });
  const [, second] = sampleSubnets(ranks, { sampling: 'rotation', randomSubnets: 0 }, 0, createRandom(1));
  t.same(second, anchorGenome(ranks, 'min'));
});

/** Every choice that trained genomes make in layers that are there, as "layer axis value". */
function choicesOf(genomes: readonly Genome[]): Set<string> {
  return new Set(
    genomes.flatMap(({ layers }) =>
      layers.flatMap(({ ranks, width, kvHeads = 4, skipped }, layer) => [
        `${layer} kept ${!skipped}`,
        ...(skipped
          ? []
          : [
              ...Object.entries(ranks).map(([group, rank]) => `${layer} ${group} ${rank}`),
              `${layer} width ${width}`,
              `${layer} heads ${kvHeads}`,
            ]),
      ]),
    ),
  );
}
/** 4 ranks of 4 groups, 5 widths, 2 numbers of heads and that it is kept; three layers may be left out. */
const CHOICES = 8 * (4 * 4 + 5 + 2 + 1) + 3;

for (const sampling of ['uniform', 'sandwich', 'rotation'] as const) {
  t.test(`${sampling}: 200 steps train each of the ${CHOICES} choices of preset full`, async (t) => {
    const random = createRandom(3);
    const trained = Array.from({ length: 200 }, (_, step) =>
      sampleSubnets(every, { sampling, randomSubnets: 2 }, step, random),
    ).flat();
    t.equal(choicesOf(trained).size, CHOICES);
  });
}

for (const sampling of ['sandwich', 'rotation'] as const) {
  t.test(`${sampling}: both ends of every axis are trained without chance`, async (t) => {
    const fixed = Array.from({ length: 5 }, (_, step) =>
      sampleSubnets(every, { sampling, randomSubnets: 0 }, step, createRandom(1)),
    ).flat();
    const found = choicesOf(fixed);
    const wanted = Array.from({ length: 8 }, (_, layer) => [
      ...['qkv', 'o', 'gateUp', 'down'].flatMap((group) => [`${layer} ${group} 4`, `${layer} ${group} 32`]),
      ...['width 384', 'width 768', 'heads 2', 'heads 4', 'kept true'].map((choice) => `${layer} ${choice}`),
      ...([1, 3, 5].includes(layer) ? [`${layer} kept false`] : []),
    ]).flat();
    t.same([...found].sort(), wanted.sort());
  });
}
