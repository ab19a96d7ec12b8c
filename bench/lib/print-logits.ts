/**
 * Loads candidates and prints their logits as JSON: a program of its own, so that another
 * processor may run it. Its argument is a JSON `LogitsRequest`, its answer a `LogitsAnswer`.
 */
import { join } from 'node:path';
import { openDecoder } from '@fleetlora/shared/engine';
import type { WeightFile } from '@fleetlora/shared/graph';
import { createNodeRuntime, openFileSource } from '@fleetlora/shared/node';
import { decodeGenome } from '@fleetlora/shared/space';
import { readTensorFile } from '@fleetlora/shared/weights';

export interface LogitsRequest {
  readonly folder: string;
  readonly base: string;
  readonly adapter: string;
  /** Canonical texts, all unmerged. */
  readonly genomes: readonly string[];
  readonly ids: readonly number[];
}

export interface LogitsAnswer {
  readonly arch: string;
  /** Of the token after the last id, one list a genome: float32, base64, little endian. */
  readonly logits: readonly string[];
}

async function openWeights(folder: string, fileName: string): Promise<WeightFile> {
  const source = await openFileSource(join(folder, fileName));
  try {
    return { fileName, file: await readTensorFile(source) };
  } finally {
    await source.close();
  }
}

const { folder, base, adapter, genomes, ids } = JSON.parse(process.argv[2] as string) as LogitsRequest;
const runtime = createNodeRuntime();
const weights = { base: await openWeights(folder, base), overlay: await openWeights(folder, adapter) };
const logits: string[] = [];
for (const text of genomes) {
  const genome = decodeGenome(text);
  const decoder = await openDecoder(runtime, { folder, ...weights, genome }, { threads: 1, positions: 64 });
  const values = await decoder.prefill(ids);
  logits.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64'));
  await decoder.close();
}
console.log(JSON.stringify({ arch: process.arch, logits } satisfies LogitsAnswer));
