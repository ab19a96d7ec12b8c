/** Opens the candidates of a SwitchSpec, keeps them open, and answers a SwitchAnswer. */
import { join } from 'node:path';
import { answerParent } from '@fleetlora/agent/child';
import {
  type ElasticDecoder,
  openDecoder,
  openElasticDecoder,
  type WeightFile,
} from '@fleetlora/shared/engine';
import { createNodeRuntime, openFileSource } from '@fleetlora/shared/node';
import type { Runtime } from '@fleetlora/shared/runtime';
import { decodeGenome } from '@fleetlora/shared/space';
import { median } from '@fleetlora/shared/statistics';
import { readTensorFile } from '@fleetlora/shared/weights';
import { readPrivateMemory } from '../lib/private-memory.js';
import { openExportedModel, type SwitchedModel } from './exported-model.js';
import type { ExportedModel, SharedFiles, SwitchAnswer, SwitchSpec } from './switch-spec.js';

const PROMPT = [1, 2, 3, 4, 5, 6, 7, 8];
const STEPS = 6;
/** Logits that are told of each candidate. */
const TOLD = 64;

let readBytes = 0;

/** A weight file whose reads are counted; what sessions map is not read by us. */
async function openWeights(folder: string, fileName: string): Promise<WeightFile> {
  const source = await openFileSource(join(folder, fileName));
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    readBytes += length;
    return source.read(offset, length);
  };
  return { fileName, file: await readTensorFile({ size: source.size, read }) };
}

/** Opens candidate after candidate over files that are opened with the first. */
function openShared(
  holding: 'one session' | 'mapped' | 'prepacked',
  { folder, base, adapter, genomes, positions }: SharedFiles,
  runtime: Runtime,
): (index: number) => Promise<SwitchedModel> {
  const weights = holding === 'mapped' ? 'mapped' : 'prepacked';
  const options = { threads: 1, positions, weights } as const;
  let files: { folder: string; base: WeightFile; overlay: WeightFile } | null = null;
  let session: ElasticDecoder | null = null;
  return async (index) => {
    const genome = decodeGenome(genomes[index] as string);
    files ??= {
      folder,
      base: await openWeights(folder, base),
      overlay: await openWeights(folder, adapter),
    };
    if (holding !== 'one session') return openDecoder(runtime, { ...files, genome }, options);
    if (session === null) session = await openElasticDecoder(runtime, files, genome, options);
    else session.switchTo(genome);
    return session;
  };
}

/** What the spec names, to be opened by its number. */
function candidatesOf(
  spec: SwitchSpec,
  runtime: Runtime,
): { readonly count: number; open(index: number): Promise<SwitchedModel> } {
  if (spec.holding !== 'separate')
    return { count: spec.genomes.length, open: openShared(spec.holding, spec, runtime) };
  const { models } = spec;
  return {
    count: models.length,
    open: (index) => openExportedModel(runtime, models[index] as ExportedModel),
  };
}

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const startedMs = performance.now();
  const result = await work();
  return { result, ms: performance.now() - startedMs };
}

answerParent(async (value): Promise<SwitchAnswer> => {
  const { count, open } = candidatesOf(value as SwitchSpec, createNodeRuntime());
  const readyMs: number[] = [];
  const firstMs: number[] = [];
  const againMs: number[] = [];
  const stepMs: number[] = [];
  const logits: number[][] = [];
  /** All stay open to the end: a session that nothing refers to is freed with its memory. */
  const held = new Set<SwitchedModel>();
  const before = await readPrivateMemory();
  let withOne = before;
  let readOfFirst = 0;
  for (let index = 0; index < count; index++) {
    const { result: model, ms } = await timed(() => open(index));
    held.add(model);
    readyMs.push(ms);
    model.reset();
    firstMs.push((await timed(() => model.prefill(PROMPT.slice(0, 1)))).ms);
    model.reset();
    againMs.push((await timed(() => model.prefill(PROMPT.slice(0, 1)))).ms);
    model.reset();
    logits.push([...(await model.prefill(PROMPT)).subarray(0, TOLD)]);
    const steps: number[] = [];
    for (let step = 0; step < STEPS; step++) steps.push((await timed(() => model.step(step))).ms);
    stepMs.push(median(steps));
    if (index > 0) continue;
    readOfFirst = readBytes;
    withOne = await readPrivateMemory();
  }
  const withAll = await readPrivateMemory();
  for (const model of held) await model.close();
  return {
    readyMs,
    firstMs,
    againMs,
    stepMs,
    logits,
    laterReadBytes: readBytes - readOfFirst,
    memory: { before, withOne, withAll },
  };
});
