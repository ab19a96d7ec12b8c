import { openDecoder, openElasticDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { encodeGenome, type Genome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { largestDifference } from '../lib/run-logits.js';
import { merged } from '../lib/tiny-genomes.js';
import { createTinyModel, type TinyModel, tinyRankMax } from '../lib/tiny-model.js';

/** Single precision, 6e-8 relative, through some hundred sums of logits up to 10. */
const SINGLE = 5e-5;
const options = { threads: 1, positions: 16 };
const ids = [3, 1, 4, 1, 5];

const openElastic = (model: TinyModel, genome: Genome) =>
  openElasticDecoder(createNodeRuntime(), { ...model, overlay: model.adapter }, genome, options);

async function plainLogits(model: TinyModel, genome: Genome): Promise<number[]> {
  const decoder = await openDecoder(
    createNodeRuntime(),
    { ...model, overlay: model.adapter, genome },
    options,
  );
  const logits = [...(await decoder.prefill(ids))];
  await decoder.close();
  return logits;
}

const layer = (ranks: readonly [number, number, number, number], width: number) => {
  const [qkv, o, gateUp, down] = ranks;
  return { ranks: { qkv, o, gateUp, down }, width };
};

t.test('any ranks, 0 too, on one session: what a session of their own computes', async (t) => {
  const model = await createTinyModel(t.testdir());
  const shapes: readonly [string, (ranks: readonly [number, number, number, number]) => Genome][] = [
    ['full', (ranks) => ({ form: 'unmerged', layers: [layer(ranks, 24), layer(ranks, 24)] })],
    ['two widths', (ranks) => ({ form: 'unmerged', layers: [layer(ranks, 16), layer(ranks, 8)] })],
    ['one layer', (ranks) => ({ form: 'unmerged', layers: [skippedLayer, layer(ranks, 24)] })],
    [
      'one key/value head',
      (ranks) => ({
        form: 'unmerged',
        layers: [{ ...layer(ranks, 24), kvHeads: 1 }, layer(ranks, 24)],
      }),
    ],
  ];
  for (const [name, genomeOf] of shapes) {
    const elastic = await openElastic(model, genomeOf([1, 1, 1, 1]));
    for (const ranks of [
      [1, 1, 1, 1],
      [4, 0, 2, 3],
      [0, 0, 0, 0],
      [4, 4, 4, 4],
      [1, 1, 1, 1],
    ] as const) {
      const genome = genomeOf(ranks);
      elastic.switchTo(genome);
      elastic.reset();
      t.equal(elastic.genome, genome);
      const found = [...(await elastic.prefill(ids))];
      t.ok(
        largestDifference(found, await plainLogits(model, genome)) < SINGLE,
        `${name}: ${encodeGenome(genome)}`,
      );
    }
    await elastic.close();
  }
});

t.test('a switch keeps the tokens in the cache', async (t) => {
  const model = await createTinyModel(t.testdir());
  const elastic = await openElastic(model, uniformGenome(2, 2, 24));
  await elastic.prefill(ids);
  elastic.switchTo(uniformGenome(2, 4, 24));
  t.equal(elastic.length, ids.length);
  await elastic.step(9);
  t.equal(elastic.length, ids.length + 1);
  await elastic.close();
});

t.test(`refused: other widths, depths and forms, and ranks above ${tinyRankMax}`, async (t) => {
  const model = await createTinyModel(t.testdir());
  const first = uniformGenome(2, 2, 24);
  await t.rejects(
    openElastic(model, merged(first)),
    coded('BAD_REQUEST', encodeGenome(merged(first)), 'unmerged'),
  );
  await t.rejects(openElastic(model, uniformGenome(2, tinyRankMax + 1, 24)), coded('GENOME_OUTSIDE_SPACE'));
  const elastic = await openElastic(model, first);
  for (const other of [
    uniformGenome(2, 2, 16),
    merged(first),
    { ...first, layers: [first.layers[0] ?? skippedLayer, skippedLayer] },
  ])
    t.throws(() => elastic.switchTo(other), coded('BAD_REQUEST', encodeGenome(other), encodeGenome(first)));
  t.throws(
    () => elastic.switchTo(uniformGenome(2, tinyRankMax + 1, 24)),
    coded('GENOME_OUTSIDE_SPACE', tinyRankMax + 1, tinyRankMax),
  );
  elastic.switchTo(uniformGenome(2, tinyRankMax, 24));
  t.same(elastic.genome, uniformGenome(2, tinyRankMax, 24));
  await elastic.close();
});
