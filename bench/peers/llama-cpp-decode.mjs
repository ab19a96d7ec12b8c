// @ts-check
/**
 * Decodes with llama.cpp (node-llama-cpp) as it is asked to: a program of its own that knows nothing
 * of ours. Its argument is a PeerSpec, its messages are those of bench/decoding/decode-messages.ts.
 */
import { pathToFileURL } from 'node:url';

const { entry, model: modelPath, lora, threads } = JSON.parse(process.argv[2] ?? '');
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: 'error',
  progressLogs: false,
  maxThreads: threads,
});
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: 1024,
  batchSize: 512,
  threads,
  ...(lora !== null && { lora: { adapters: [{ filePath: lora, scale: 1 }] } }),
});
const sequence = context.getSequence();
const greedy = { temperature: 0, yieldEogToken: true };
/** Tokens of the context that are the prompt's. */
let filled = 0;

/** @param {number} length */
const promptOf = (length) => Array.from({ length }, (_, i) => 2 + ((i * 7919) % 40_000));

/** @param {number} length */
async function fill(length) {
  filled = Math.min(filled, length);
  if (sequence.nextTokenIndex > filled)
    await sequence.eraseContextTokenRanges([{ start: filled, end: sequence.nextTokenIndex }]);
  if (filled < length) await sequence.evaluateWithoutGeneratingNewTokens(promptOf(length).slice(filled));
  filled = length;
}

/**
 * @param {number} kv
 * @param {number} tokens
 */
async function decode(kv, tokens) {
  await fill(kv);
  const ids = [];
  const startedMs = performance.now();
  const writing = sequence.evaluate(promptOf(kv + 1).slice(kv), greedy);
  while (ids.length < tokens) ids.push((await writing.next()).value);
  const ms = performance.now() - startedMs;
  await writing.return();
  return { ms, ids };
}

/** @param {number} tokens */
async function prefill(tokens) {
  await fill(0);
  const startedMs = performance.now();
  const writing = sequence.evaluate(promptOf(tokens), greedy);
  const ids = [(await writing.next()).value];
  const ms = performance.now() - startedMs;
  await writing.return();
  filled = tokens;
  return { ms, ids };
}

process.on('message', async (/** @type {any} */ ask) => {
  process.send?.(ask.kind === 'decode' ? await decode(ask.kv, ask.tokens) : await prefill(ask.tokens));
});
process.on('disconnect', () => process.exit(0));
process.send?.('loaded');
