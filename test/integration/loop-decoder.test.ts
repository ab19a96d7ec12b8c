import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  argmax,
  type CandidateModel,
  continueGreedily,
  generateGreedy,
  openDecoder,
  openLoopDecoder,
  resolveCandidate,
} from '@fleetlora/shared/engine';
import { buildDecodeGraph } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import { type Genome, type LayerGenome, precisions, skippedLayer } from '@fleetlora/shared/space';
import { InferenceSession } from 'onnxruntime-node';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { createTinyModel, randomRows, tinyShape } from '../lib/tiny-model.js';

const runtime = createNodeRuntime();
const shape = { ...tinyShape, ...quantisableShape };
const prompt = Array.from(randomRows(shape, [5])[0]?.ids ?? []);
const none = { qkv: 0, o: 0, gateUp: 0, down: 0 };

/** Layers by what is cut from the full model. */
const candidates: Readonly<Record<string, readonly LayerGenome[]>> = {
  'no adapter': [0, 1, 2].map(() => ({ ranks: none, width: 128 })),
  'mixed ranks': [
    { ranks: { qkv: 4, o: 2, gateUp: 3, down: 1 }, width: 128 },
    { ranks: { qkv: 1, o: 4, gateUp: 0, down: 3 }, width: 128 },
    { ranks: { qkv: 0, o: 0, gateUp: 4, down: 4 }, width: 128 },
  ],
  'widths 64 and 96, heads 3 and 1': [
    { ranks: { qkv: 2, o: 2, gateUp: 2, down: 2 }, width: 64, kvHeads: 3 },
    { ranks: { qkv: 3, o: 1, gateUp: 4, down: 1 }, width: 96, kvHeads: 1 },
    { ranks: none, width: 128 },
  ],
  'first layer left out': [
    skippedLayer,
    { ranks: { qkv: 4, o: 4, gateUp: 4, down: 4 }, width: 96 },
    { ranks: none, width: 32, kvHeads: 2 },
  ],
};

async function stepByStep(
  model: CandidateModel,
  ids: readonly number[],
  maxTokens: number,
): Promise<number[]> {
  const decoder = await openDecoder(runtime, model, { threads: 1, positions: shape.positions });
  const tokens: number[] = [];
  for await (const id of generateGreedy(decoder, ids, { maxTokens, stopIds: [] })) tokens.push(id);
  await decoder.close();
  return tokens;
}

/** The same in chunks of the sizes given, the last of them again and again. */
async function byChunks(
  model: CandidateModel,
  ids: readonly number[],
  maxTokens: number,
  sizes: readonly number[],
): Promise<number[]> {
  const decoder = await openLoopDecoder(runtime, model, { threads: 1, positions: shape.positions });
  const tokens: number[] = [];
  for (let chunk = 0; tokens.length < maxTokens; chunk++) {
    const count = Math.min(sizes[Math.min(chunk, sizes.length - 1)] ?? 1, maxTokens - tokens.length);
    const before = tokens.length === 0 ? ids : tokens.slice(-1);
    tokens.push(...(await decoder.write(before, { count, stopIds: [] })));
  }
  if (decoder.length !== ids.length + maxTokens - 1) throw new Error(`${decoder.length} tokens in the cache`);
  await decoder.close();
  return tokens;
}

for (const precision of precisions) {
  for (const [name, layers] of Object.entries(candidates)) {
    t.test(`${precision}, ${name}: chunks of 1, 2, 4 and 8 give the tokens of one run a token`, async (t) => {
      const model = await quantiseTinyModel(
        await createTinyModel(t.testdir(), { shape: quantisableShape }),
        precision,
      );
      const genome: Genome = { form: 'unmerged', ...(precision !== 'fp32' && { precision }), layers };
      const candidate = { ...model, overlay: model.adapter, genome };
      const wanted = await stepByStep(candidate, prompt, 24);
      t.equal(new Set(wanted).size > 3, true, 'the tokens tell something');
      t.same(await byChunks(candidate, prompt, 24, [1, 2, 4, 8]), wanted);
      t.same(await byChunks(candidate, prompt, 24, [24]), wanted);
      t.same(await byChunks(candidate, prompt, 24, [1]), wanted);
    });
  }
}

for (const precision of precisions) {
  t.test(`${precision}: biases of q, k and v, an untied head and a window of 4 tokens`, async (t) => {
    const model = await quantiseTinyModel(
      await createTinyModel(t.testdir(), {
        shape: {
          ...quantisableShape,
          architecture: 'qwen2',
          qkvBias: true,
          tiedHead: false,
          slidingWindow: 4,
        },
      }),
      precision,
    );
    const candidate = { ...model, overlay: null, genome: null };
    t.same(await byChunks(candidate, prompt, 16, [3]), await stepByStep(candidate, prompt, 16));
  });
}

t.test(
  'a stop token ends the chunk in its middle, at its start and at its end, and the cache goes on from there',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const candidate = { ...model, overlay: null, genome: null };
    const wanted = await stepByStep(candidate, prompt, 12);
    const stop = wanted[5] as number;
    const first = wanted.indexOf(stop);
    const decoder = await openLoopDecoder(runtime, candidate, { threads: 1, positions: shape.positions });
    t.same(await decoder.write(prompt, { count: 12, stopIds: [99, stop] }), wanted.slice(0, first + 1));
    t.equal(decoder.length, prompt.length + first);
    // Nothing of what would have followed is left: the rest is as without a stop.
    t.same(await decoder.write([stop], { count: 4, stopIds: [] }), wanted.slice(first + 1, first + 5));
    decoder.reset();
    t.equal(decoder.length, 0);
    t.same(await decoder.write(prompt, { count: 3, stopIds: [wanted[0] as number] }), wanted.slice(0, 1));
    t.equal(decoder.length, prompt.length);
    decoder.reset();
    t.same(await decoder.write(prompt, { count: first + 1, stopIds: [stop] }), wanted.slice(0, first + 1));
    await decoder.close();
  },
);

t.test('the cache is filled to its end and not beyond', async (t) => {
  const model = await createTinyModel(t.testdir());
  const candidate = { ...model, overlay: null, genome: null };
  const decoder = await openLoopDecoder(runtime, candidate, { threads: 1, positions: 8 });
  const refused = coded('BAD_REQUEST', 8);
  await t.rejects(decoder.write([], { count: 1, stopIds: [] }), refused);
  await t.rejects(decoder.write(prompt, { count: 0, stopIds: [] }), refused);
  // 5 tokens, and 3 of 4 written ones: the last is not appended.
  await t.rejects(decoder.write(prompt, { count: 5, stopIds: [] }), refused);
  const tokens = await decoder.write(prompt, { count: 4, stopIds: [] });
  t.same(tokens, await stepByStep(candidate, prompt, 4));
  t.equal(decoder.length, 8);
  await t.rejects(decoder.write(tokens.slice(-1), { count: 1, stopIds: [] }), refused);
  await t.rejects(
    openLoopDecoder(runtime, candidate, { threads: 1, positions: shape.positions + 1 }),
    coded('BAD_REQUEST', shape.positions),
  );
  await decoder.close();
});

t.test('a cache that is cut back goes on as if it had never been longer', async (t) => {
  const model = await createTinyModel(t.testdir());
  const candidate = { ...model, overlay: null, genome: null };
  const decoder = await openLoopDecoder(runtime, candidate, { threads: 2, positions: 16, idle: 'spin' });
  const wanted = await decoder.write(prompt, { count: 6, stopIds: [] });
  decoder.setLength(prompt.length);
  t.equal(decoder.length, prompt.length);
  t.same(await decoder.write(wanted.slice(0, 1), { count: 5, stopIds: [] }), wanted.slice(1));
  decoder.setLength(0);
  t.same(await decoder.write(prompt, { count: 6, stopIds: [] }), wanted);
  for (const length of [-1, 0.5, prompt.length + 6])
    t.throws(() => decoder.setLength(length), coded('BAD_REQUEST', length, prompt.length + 5));
  await decoder.close();
});

t.test('a greedy continuation ends before a stop token, after its tokens, or with the cache', async (t) => {
  const model = await createTinyModel(t.testdir());
  const candidate = { ...model, overlay: null, genome: null };
  const decoder = await openLoopDecoder(runtime, candidate, { threads: 1, positions: 9 });
  const step = await openDecoder(runtime, candidate, { threads: 1, positions: 9 });
  const wanted = await stepByStep(candidate, prompt, 5);
  for (const [maxTokens, stopIds] of [
    [0, []],
    [1, []],
    [3, []],
    [20, []],
    [20, [wanted[2] as number]],
    [1, [wanted[0] as number]],
  ] as const) {
    const tokens: number[] = [];
    for await (const id of generateGreedy(step, prompt, { maxTokens, stopIds })) tokens.push(id);
    t.same(
      await continueGreedily(decoder, prompt, { maxTokens, stopIds }),
      tokens,
      `${maxTokens}, ${stopIds}`,
    );
  }
  await decoder.close();
  await step.close();
});

t.test('at a temperature each draw picks the token whose share of the softmax it falls into', async (t) => {
  const model = await createTinyModel(t.testdir());
  const candidate = { ...model, overlay: null, genome: null };
  const temperature = 3;
  const random = createRandom(5);
  const draws = Array.from({ length: 12 }, () => random.next());
  const step = await openDecoder(runtime, candidate, { threads: 1, positions: shape.positions });
  let logits = await step.prefill(prompt);
  const wanted: number[] = [];
  for (const draw of draws) {
    const top = logits[argmax(logits)] as number;
    const weights = Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
    const whole = weights.reduce((sum, weight) => sum + weight, 0);
    let sum = 0;
    const token = weights.findIndex((weight) => {
      sum += weight;
      return sum > draw * whole;
    });
    wanted.push(token);
    logits = await step.step(token);
  }
  await step.close();
  t.ok(new Set(wanted).size > 3);
  const decoder = await openLoopDecoder(runtime, candidate, { threads: 1, positions: shape.positions });
  const options = { count: 12, stopIds: [], temperature, draws };
  t.same(await decoder.write(prompt, options), wanted);
  await t.rejects(
    decoder.write(wanted.slice(-1), { ...options, count: 2, draws: [0.5] }),
    coded('BAD_REQUEST', '1 draws', 'wanted 2'),
  );
  decoder.reset();
  // The ends of what can be drawn: the first token, and the last that has any share.
  const [least] = await decoder.write(prompt, { ...options, count: 1, draws: [0] });
  t.equal(least, 0);
  decoder.reset();
  decoder.reset();
  // So cold that a logit divided by it would be no number.
  const cold = await decoder.write(prompt, { ...options, temperature: 1e-39 });
  t.same(cold, await stepByStep(candidate, prompt, 12));
  decoder.reset();
  const [most = -1] = await decoder.write(prompt, { ...options, count: 1, draws: [1 - 2 ** -24] });
  t.ok(most > 40 && most < shape.vocab, `token ${most}`);
  await decoder.close();
});

t.test('joined and cut constants are folded at load, outside the loop', async (t) => {
  const fp32 = await createTinyModel(t.testdir(), { shape: quantisableShape });
  for (const precision of ['q8', 'q4'] as const) {
    const model = await quantiseTinyModel(fp32, precision);
    const layers = candidates['widths 64 and 96, heads 3 and 1'] ?? [];
    const resolved = resolveCandidate({
      ...model,
      overlay: model.adapter,
      genome: { form: 'unmerged', precision, layers },
    });
    const graph = buildDecodeGraph({ ...resolved, lora: 'constants' });
    const file = join(model.folder, `${precision}.onnx`);
    const session = await InferenceSession.create(graph, {
      optimizedModelFilePath: file,
      extra: { session: { model_external_initializers_file_folder_path: model.folder } },
    });
    await session.release();
    const loaded = await readFile(file);
    for (const operator of ['Concat', 'Pad', 'Slice']) {
      t.ok(countNodes(graph, operator) > 0, `${operator}: there is something to fold`);
      t.equal(countNodes(loaded, operator), 0, operator);
    }
    t.equal(countNodes(loaded, 'MatMulNBits'), 3 * 4 + 1);
  }
});

/** Operators of a type in a serialised model: field 4 of a node is its type, a length and its letters. */
function countNodes(model: Uint8Array, type: string): number {
  const field = Buffer.concat([Buffer.from([0x22, type.length]), Buffer.from(type)]);
  let count = 0;
  for (let at = Buffer.from(model).indexOf(field); at >= 0; at = Buffer.from(model).indexOf(field, at + 1))
    count++;
  return count;
}
