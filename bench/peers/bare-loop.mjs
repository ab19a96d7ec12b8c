// @ts-check
/**
 * A stand-alone program that runs one candidate and knows nothing of fleetlora: onnxruntime-node,
 * an ONNX file with its weights beside it, a loop and a clock. The figures of the agent are held
 * against it.
 *
 *   node bare-loop.mjs FOLDER time|weigh
 *
 * FOLDER holds graph.onnx and loop.json (a LoopSpec). `time` prints every run's duration as JSON,
 * the first ones included, and the tokens that were chosen; `weigh` does what a memory pass does and
 * prints nothing of it: whoever starts it looks at its memory.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/**
 * @typedef {object} LoopSpec
 * @property {number} layers
 * @property {number} kvHeads
 * @property {number} headDim
 * @property {number} positions capacity of the KV cache
 * @property {number} threads
 * @property {number[]} prompt token ids of a prefill
 * @property {number[]} cached token ids that fill the cache before decode steps
 * @property {{ leastMs: number, mostRuns: number }} warmUp runs for so long, at least twice and no more
 *   than the most, before the counted ones
 * @property {number} prefills
 * @property {number} decodes
 */

const [folder = '.', mode = 'time'] = process.argv.slice(2);
/** @type {LoopSpec} */
const spec = JSON.parse(readFileSync(join(folder, 'loop.json'), 'utf8'));
/** Runs after the cache is filled when memory is what counts. */
const WEIGHED_STEPS = 4;

const loadedFrom = process.hrtime.bigint();
const session = await InferenceSession.create(join(folder, 'graph.onnx'), {
  executionProviders: ['cpu'],
  intraOpNumThreads: spec.threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  logSeverityLevel: 3,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});
const loadMs = elapsed(loadedFrom);

/** @type {Record<string, Tensor>} */
const feeds = {};
/** @type {Record<string, Tensor | null>} */
const fetches = { logits: null };
for (let layer = 0; layer < spec.layers; layer++)
  for (const slot of ['key', 'value']) {
    const { kvHeads, positions, headDim } = spec;
    const memory = new Float32Array(kvHeads * positions * headDim);
    const cache = new Tensor('float32', memory, [1, kvHeads, positions, headDim]);
    feeds[`past.${layer}.${slot}`] = cache;
    fetches[`present.${layer}.${slot}`] = cache;
  }

/** @param {bigint} from */
function elapsed(from) {
  return Number(process.hrtime.bigint() - from) / 1e6;
}

/**
 * Runs tokens behind `length` others and chooses the likeliest next one.
 * @param {readonly number[]} ids
 * @param {number} length
 */
async function next(ids, length) {
  const total = length + ids.length;
  const { logits } = await session.run(
    {
      ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
      rows: new Tensor('int64', BigInt64Array.of(BigInt(ids.length - 1)), [1]),
      last: new Tensor('int32', Int32Array.of(total - 1), [1]),
      total: new Tensor('int32', Int32Array.of(total), [1]),
      ...feeds,
    },
    fetches,
  );
  const values = /** @type {Float32Array} */ (logits?.data);
  let best = 0;
  for (let id = 1; id < values.length; id++) if (Number(values[id]) > Number(values[best])) best = id;
  return best;
}

/**
 * Times runs until `counted` have followed the warm-up.
 * @param {() => Promise<number>} once
 * @param {number} counted
 */
async function take(once, counted) {
  const warmUp = [];
  const from = process.hrtime.bigint();
  const { leastMs, mostRuns } = spec.warmUp;
  while (warmUp.length < 2 || (warmUp.length < mostRuns && elapsed(from) < leastMs))
    warmUp.push(await timed(once));
  const samples = [];
  while (samples.length < counted) samples.push(await timed(once));
  return { warmUp, samples, token: chosen };
}

let chosen = -1;
/** @param {() => Promise<number>} once */
async function timed(once) {
  const from = process.hrtime.bigint();
  chosen = await once();
  return elapsed(from);
}

const [first = 0] = spec.prompt;
if (mode === 'weigh') {
  await next(spec.prompt, 0);
  await next(spec.cached, 0);
  for (let step = 0; step < WEIGHED_STEPS; step++) await next([first], spec.cached.length);
} else {
  const prefill = await take(() => next(spec.prompt, 0), spec.prefills);
  await next(spec.cached, 0);
  const decode = await take(() => next([first], spec.cached.length), spec.decodes);
  console.log(JSON.stringify({ loadMs, prefill, decode }));
}
await session.release();
