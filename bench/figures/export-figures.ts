import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type CandidateModel, generateGreedy, openDecoder, resolveCandidate } from '@fleetlora/shared/engine';
import { buildInferenceGraph } from '@fleetlora/shared/graph';
import { int32Tensor, int64Tensor } from '@fleetlora/shared/runtime';
import type { Genome } from '@fleetlora/shared/space';
import { chatSourceOf } from '@fleetlora/shared/text';
import { type ExportDtype, type ExportKind, openExport, planExport } from '@fleetlora/shared/weights';
import { nodePeer, peerScript, pythonPeer } from '../lib/peer-folders.js';
import { runPeer } from '../lib/run-peer.js';
import { writeExport } from '../lib/write-export.js';
import type { ExportGround } from './export-grounds.js';

const threads = 1;

/** A candidate of a model that is exported, and what it is asked. */
export interface ExportCase {
  readonly name: string;
  readonly genome: Genome;
  readonly rows: readonly (readonly number[])[];
}

const modelOf = ({ prepared, adapter }: ExportGround, genome: Genome): CandidateModel => ({
  folder: prepared.folder,
  base: prepared.base,
  overlay: adapter,
  // The same numbers: a merged candidate would be looked for in a package.
  genome: { ...genome, form: 'unmerged' },
});

/** Exports a candidate as `kind` and returns the folder. */
export async function exportCandidate(
  ground: ExportGround,
  genome: Genome,
  kind: ExportKind,
  name: string,
  dtype: ExportDtype = 'f32',
): Promise<string> {
  const { prepared, adapter, modelFolder } = ground;
  const source = await openExport({ base: prepared.base.file, adapter: adapter.file, genome });
  const bytes = await readFile(join(modelFolder, 'tokenizer.json'));
  const files = await planExport(source, {
    kind,
    dtype,
    name,
    tokenizer: {
      bytes,
      json: JSON.parse(bytes.toString('utf8')),
      chat: chatSourceOf(prepared.base.file.metadata),
      stopIds: prepared.stopIds,
    },
  });
  const folder = join(ground.workFolder, name);
  await writeExport(files, folder);
  return folder;
}

/** Our logits of every position of every row, one after another. */
export async function ownLogits(ground: ExportGround, { genome, rows }: ExportCase): Promise<Float32Array[]> {
  const resolved = resolveCandidate(modelOf(ground, genome));
  const session = await ground.runtime.createSession(
    buildInferenceGraph({ ...resolved, head: 'logits', cachePositions: 0 }),
    { weightFolder: ground.prepared.folder, threads },
  );
  try {
    const found: Float32Array[] = [];
    for (const ids of rows) {
      const every = ids.map((_, position) => position);
      const results = await session.run(
        {
          ids: int64Tensor([1, ids.length], ids),
          rows: int64Tensor([ids.length], every),
          last: int32Tensor([1], [ids.length - 1]),
          total: int32Tensor([1], [ids.length]),
        },
        ['logits'],
      );
      found.push(results.logits?.data as Float32Array);
    }
    return found;
  } finally {
    await session.release();
  }
}

/** Our greedy continuations. */
export async function ownGreedy(ground: ExportGround, one: ExportCase, tokens: number): Promise<number[][]> {
  const decoder = await openDecoder(ground.runtime, modelOf(ground, one.genome), {
    threads,
    positions: ground.prepared.shape.positions,
  });
  try {
    const continuations: number[][] = [];
    for (const ids of one.rows) {
      const found: number[] = [];
      for await (const id of generateGreedy(decoder, ids, { maxTokens: tokens, stopIds: [] })) found.push(id);
      continuations.push(found);
    }
    return continuations;
  } finally {
    await decoder.close();
  }
}

/**
 * Largest difference between our logits and those of stock transformers with the exported adapter:
 * over the original model where it fits that, else over the exported base; or with it merged (`hf`).
 */
export async function comparePython(
  ground: ExportGround,
  one: ExportCase,
  kind: 'peft' | 'hf',
  name: string,
): Promise<number> {
  const folder = await exportCandidate(ground, one.genome, kind, name);
  const { isWhole } = (
    await openExport({ base: ground.prepared.base.file, adapter: ground.adapter.file, genome: one.genome })
  ).cut;
  const out = join(folder, 'logits.f32');
  await runPeer(pythonPeer(), [peerScript('logits.py')], {
    model: kind === 'hf' ? folder : isWhole ? ground.modelFolder : join(folder, 'base'),
    adapter: kind === 'hf' ? null : folder,
    rows: one.rows,
    out,
  });
  const bytes = await readFile(out);
  const peer = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const own = await ownLogits(ground, one);
  if (own.reduce((sum, { length }) => sum + length, 0) !== peer.length) return Number.NaN;
  let worst = 0;
  let at = 0;
  for (const row of own)
    for (const value of row) {
      const difference = Math.abs(value - (peer[at++] as number));
      if (!(difference <= worst)) worst = difference;
    }
  return worst;
}

/** llama.cpp's greedy continuations with the exported files. */
export async function llamaGreedy(
  ground: ExportGround,
  one: ExportCase,
  tokens: number,
  name: string,
  dtype: ExportDtype = 'f32',
): Promise<number[][]> {
  const folder = await exportCandidate(ground, one.genome, 'gguf', name, dtype);
  const isMerged = one.genome.form === 'merged';
  const answer = await runPeer(process.execPath, [peerScript('llama-greedy.mjs')], {
    entry: nodePeer('llama-cpp'),
    model: join(folder, isMerged ? 'model.gguf' : 'base.gguf'),
    lora: isMerged ? null : join(folder, 'adapter.gguf'),
    prompts: one.rows,
    tokens,
  });
  return JSON.parse(answer) as number[][];
}

/** transformers.js's greedy continuations with the exported folder. */
export async function transformersGreedy(
  ground: ExportGround,
  one: ExportCase,
  tokens: number,
  name: string,
): Promise<number[][]> {
  const folder = await exportCandidate(ground, one.genome, 'onnx', name);
  const answer = await runPeer(process.execPath, [peerScript('transformers-greedy.mjs')], {
    entry: nodePeer('transformers-js'),
    folder: dirname(folder),
    name: basename(folder),
    prompts: one.rows,
    tokens,
  });
  return JSON.parse(answer) as number[][];
}
