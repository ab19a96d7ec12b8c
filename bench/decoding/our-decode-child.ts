/** Decodes with our engine as it is asked to. Started with an OurDecoderSpec as its argument. */
import { join } from 'node:path';
import { openLoopDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime, openFileSource } from '@fleetlora/shared/node';
import { decodeGenome } from '@fleetlora/shared/space';
import { readTensorFile } from '@fleetlora/shared/weights';
import { type DecodeAnswer, type DecodeAsk, type OurDecoderSpec, promptOf } from './decode-messages.js';

const spec = JSON.parse(process.argv[2] ?? '') as OurDecoderSpec;
const openWeights = async (fileName: string) => ({
  fileName,
  file: await readTensorFile(await openFileSource(join(spec.folder, fileName))),
});
const decoder = await openLoopDecoder(
  createNodeRuntime(),
  {
    folder: spec.folder,
    base: await openWeights(spec.base),
    overlay: spec.adapter === null ? null : await openWeights(spec.adapter),
    genome: spec.genome === null ? null : decodeGenome(spec.genome),
  },
  { threads: spec.threads, positions: 1024, idle: 'spin' },
);
/** Tokens of the cache that are the prompt's. */
let filled = 0;

async function fill(length: number): Promise<void> {
  filled = Math.min(filled, length);
  decoder.setLength(filled);
  if (filled < length) await decoder.write(promptOf(length).slice(filled), { count: 1, stopIds: [] });
  filled = length;
}

async function decode(kv: number, tokens: number): Promise<DecodeAnswer> {
  await fill(kv);
  const ids = promptOf(kv + 1).slice(kv);
  const startedMs = performance.now();
  while (ids.length <= tokens) {
    const count = Math.min(spec.chunk, tokens + 1 - ids.length);
    ids.push(...(await decoder.write(ids.slice(-1), { count, stopIds: [] })));
  }
  return { ms: performance.now() - startedMs, ids: ids.slice(1) };
}

async function prefill(tokens: number): Promise<DecodeAnswer> {
  await fill(0);
  const startedMs = performance.now();
  const ids = await decoder.write(promptOf(tokens), { count: 1, stopIds: [] });
  const ms = performance.now() - startedMs;
  filled = tokens;
  return { ms, ids };
}

process.on('message', async (value) => {
  const ask = value as DecodeAsk;
  process.send?.(ask.kind === 'decode' ? await decode(ask.kv, ask.tokens) : await prefill(ask.tokens));
});
process.on('disconnect', () => process.exit(0));
process.send?.('loaded');
