import { argmax, type Decoder, generateGreedy, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { Genome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { largestDifference, modelLogits } from '../lib/run-logits.js';
import { tinyGenomes } from '../lib/tiny-genomes.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

/** One or many tokens at a time is another order of the same sums. */
const TOLERANCE = 2e-5;
const ids = Array.from(randomRows(tinyShape, [12], { seed: 5 })[0]?.ids ?? []);

const open = (model: TinyModel, positions: number, genome: Genome | null = null): Promise<Decoder> =>
  openDecoder(
    createNodeRuntime(),
    { ...model, overlay: genome && model.adapter, genome },
    { threads: 1, positions },
  );

/** Splits `ids` into pieces of these lengths. */
function pieces(lengths: readonly number[]): number[][] {
  const ends = lengths.map((_, index) =>
    lengths.slice(0, index + 1).reduce((sum, length) => sum + length, 0),
  );
  return ends.map((end, index) => ids.slice(end - (lengths[index] as number), end));
}

for (const [name, genome] of [['base', null], ...Object.entries(tinyGenomes)] as [string, Genome | null][]) {
  t.test(`${name}: each step's logits are those of the scoring graph at that position`, async (t) => {
    const model = await createTinyModel(t.testdir());
    const all = await modelLogits({ ...model, overlay: genome && model.adapter, genome }, ids);
    const at = (position: number): Float32Array =>
      all.subarray(position * tinyShape.vocab, (position + 1) * tinyShape.vocab);
    const decoder = await open(model, 16, genome);
    t.equal(decoder.vocab, tinyShape.vocab);
    for (const lengths of [Array(12).fill(1), [12], [5, 1, 1, 1, 1, 3], [1, 11], [4, 4, 4]] as number[][]) {
      decoder.reset();
      let worst = 0;
      for (const piece of pieces(lengths)) {
        const logits =
          piece.length === 1 ? await decoder.step(piece[0] as number) : await decoder.prefill(piece);
        worst = Math.max(worst, largestDifference(logits, at(decoder.length - 1)));
      }
      t.equal(decoder.length, 12);
      t.ok(worst < TOLERANCE, `pieces of ${lengths.join(', ')}: ${worst} off`);
    }
    await decoder.close();
  });
}

t.test('weights mapped and prepacked, and caches of 12 and 32 positions, decode the same', async (t) => {
  const model = await createTinyModel(t.testdir());
  const all = await modelLogits({ ...model, overlay: null, genome: null }, ids);
  for (const weights of ['mapped', 'prepacked'] as const) {
    for (const positions of [12, 32]) {
      const decoder = await openDecoder(
        createNodeRuntime(),
        { ...model, overlay: null, genome: null },
        { threads: 1, positions, weights },
      );
      await decoder.prefill(ids.slice(0, 7));
      let logits = new Float32Array();
      for (const id of ids.slice(7)) logits = Float32Array.from(await decoder.step(id));
      t.ok(
        largestDifference(logits, all.subarray(-tinyShape.vocab)) < TOLERANCE,
        `${weights}, ${positions} positions`,
      );
      await decoder.close();
    }
  }
});

t.test(
  'setLength cuts the sequence back; reset forgets it: what was decoded after leaves no trace',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const decoder = await open(model, 16);
    const first = Float32Array.from(await decoder.prefill(ids.slice(0, 6)));
    await decoder.prefill(ids.slice(6));
    decoder.setLength(5);
    t.equal(decoder.length, 5);
    t.ok(largestDifference(await decoder.step(ids[5] as number), first) < TOLERANCE);
    decoder.reset();
    t.equal(decoder.length, 0);
    t.strictSame(Float32Array.from(await decoder.prefill(ids.slice(0, 6))), first);
    await decoder.close();
  },
);

t.test('KV capacity: 8 tokens fit into 8 positions, a ninth does not', async (t) => {
  const model = await createTinyModel(t.testdir());
  const decoder = await open(model, 8);
  await decoder.prefill(ids.slice(0, 8));
  t.equal(decoder.length, 8);
  await t.rejects(decoder.step(1), coded('BAD_REQUEST', '1 tokens after 8', '1 to 8'));
  t.equal(decoder.length, 8, 'a refused token does not count');
  decoder.setLength(7);
  await decoder.step(1);
  decoder.reset();
  await t.rejects(decoder.prefill(ids.slice(0, 9)), coded('BAD_REQUEST', '9 tokens after 0'));
  await t.rejects(decoder.prefill([]), coded('BAD_REQUEST', '0 tokens'));
  decoder.setLength(8);
  decoder.setLength(0);
  for (const length of [-1, 9, 1.5, Number.NaN])
    t.throws(() => decoder.setLength(length), coded('BAD_REQUEST', length));
  await decoder.close();
});

t.test('cache size: 1 to the model’s 32 positions', async (t) => {
  const model = await createTinyModel(t.testdir());
  for (const positions of [1, 32]) {
    const decoder = await open(model, positions);
    t.equal(decoder.positions, positions);
    await decoder.close();
  }
  for (const positions of [0, 33])
    await t.rejects(open(model, positions), coded('BAD_REQUEST', positions, '1 to 32'));
});

t.test('greedy continuation: the likeliest token of the scoring graph, again and again', async (t) => {
  const model = await createTinyModel(t.testdir());
  const wanted: number[] = [];
  for (let count = 0; count < 6; count++) {
    const all = await modelLogits({ ...model, overlay: null, genome: null }, [...ids, ...wanted]);
    wanted.push(argmax(all.subarray(-tinyShape.vocab)));
  }
  const decoder = await open(model, 18);
  const generate = async (maxTokens: number, stopIds: number[] = [], prompt = ids): Promise<number[]> => {
    const found: number[] = [];
    for await (const id of generateGreedy(decoder, prompt, { maxTokens, stopIds })) found.push(id);
    return found;
  };
  t.same(await generate(6), wanted);
  t.same(await generate(2), wanted.slice(0, 2));
  t.same(await generate(0), []);
  const [stop] = wanted.slice(3);
  t.same(
    await generate(6, [stop as number]),
    wanted.slice(0, wanted.indexOf(stop as number)),
    'ends before a stop token',
  );
  // 12 prompt tokens leave 6 positions; the seventh token needs no position of its own.
  t.equal((await generate(20)).length, 7);
  await t.rejects(generate(1, [], Array(19).fill(1)), coded('BAD_REQUEST', 19, 18));
  await decoder.close();
});

t.test('argmax: the first of equals', async (t) => {
  t.equal(argmax(Float32Array.of(-3, 2, 2, 1)), 1);
  t.equal(argmax(Float32Array.of(-3)), 0);
});
