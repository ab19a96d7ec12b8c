import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { type BaseLayout, readBaseLayout } from '@fleetlora/shared/graph';
import { openFileSource, sha256File } from '@fleetlora/shared/node';
import type { JobStep, MeasurePlan } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import {
  anchorGenome,
  bindSearchSpace,
  decodeGenome,
  encodeGenome,
  parseSearchSpace,
  presets,
  type SearchSpaceFile,
  spaceModelOf,
} from '@fleetlora/shared/space';
import { type AdapterFacts, readAdapterFacts, readTensorFile } from '@fleetlora/shared/weights';
import { type GateLimits, openMachine } from '../host/index.js';
import { type MeasureOutcome, measureJob } from '../measure/index.js';
import { placeBeside } from '../model/index.js';
import { noServing } from './no-serving.js';

export interface MeasureFiles {
  readonly base: string;
  readonly adapter: string;
  /** `max`, `middle`, `min`, or a canonical text. */
  readonly genome: string;
  /** Further candidates of its shape, named alike, to compare with it in shared sessions. */
  readonly against?: readonly string[] | undefined;
  readonly form?: string;
  readonly space?: string;
  readonly plan: MeasurePlan;
  readonly limits: GateLimits;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (step: JobStep, done?: number, of?: number) => void;
}

/**
 * Measures a candidate of two weight files anywhere on this machine, or compares it with others.
 * @returns canonical texts of all candidates, the first one first
 */
export async function measureFiles(
  task: MeasureFiles,
): Promise<{ genomes: [string, ...string[]]; outcome: MeasureOutcome }> {
  const base = resolve(task.base);
  const adapter = resolve(task.adapter);
  const { layout, facts } = await readHeaders(base, adapter);
  const genome = await genomeOf(task.genome, task, layout, facts);
  const others: string[] = [];
  for (const name of task.against ?? []) others.push(await genomeOf(name, task, layout, facts));
  // Sessions map files of one folder: files of two are given names in a third.
  const work = await mkdtemp(join(tmpdir(), 'fleetlora-measure-'));
  try {
    const together = dirname(base) === dirname(adapter);
    const files = together
      ? { folder: dirname(base), base: basename(base), adapter: basename(adapter) }
      : { folder: work, base: 'base', adapter: 'adapter' };
    if (!together) {
      await placeBeside(base, join(work, 'base'));
      await placeBeside(adapter, join(work, 'adapter'));
    }
    const machine = await openMachine({ clock: systemClock, limits: task.limits });
    const outcome = await measureJob(
      {
        ...files,
        baseDigest: await sha256File(base),
        adapterDigest: await sha256File(adapter),
        genome,
        ...(others.length > 0 && { others }),
        plan: task.plan,
        scratch: join(work, 'scratch'),
        timeoutMs: task.timeoutMs,
        signal: task.signal,
      },
      {
        clock: systemClock,
        random: createRandom(systemClock.nowMs() >>> 0),
        machine,
        activity: noServing,
        onProgress: task.onProgress,
      },
    );
    return { genomes: [genome, ...others], outcome };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function readHeaders(
  base: string,
  adapter: string,
): Promise<{ layout: BaseLayout; facts: AdapterFacts }> {
  const header = async <T>(
    path: string,
    read: (file: Awaited<ReturnType<typeof readTensorFile>>) => T,
  ): Promise<T> => {
    const source = await openFileSource(path);
    try {
      return read(await readTensorFile(source));
    } finally {
      await source.close();
    }
  };
  return { layout: await header(base, readBaseLayout), facts: await header(adapter, readAdapterFacts) };
}

async function genomeOf(
  name: string,
  task: MeasureFiles,
  { shape, precision }: BaseLayout,
  facts: AdapterFacts,
): Promise<string> {
  const form = (['unmerged', 'merged'] as const).find((known) => known === (task.form ?? 'unmerged'));
  if (!form) throw new CodedError('BAD_USAGE', `--form ${task.form} is unknown, wanted unmerged or merged`);
  const anchor = (['max', 'middle', 'min'] as const).find((known) => known === name);
  if (!anchor) return encodeGenome(decodeGenome(name));
  const file = await spaceOf(task.space, facts);
  const { precision: _, ...genome } = anchorGenome(bindSearchSpace(file, spaceModelOf(shape)), anchor, form);
  // Whatever the space offers, it runs on the file that was given.
  return encodeGenome(precision === 'fp32' ? genome : { ...genome, precision });
}

/** The named space; without a name, `tied` with its ranks scaled to the adapter's largest. */
async function spaceOf(name: string | undefined, facts: AdapterFacts): Promise<SearchSpaceFile> {
  if (name === undefined) {
    const shares = [1 / 8, 1 / 2, 1];
    const qkv = shares.map((share) => Math.max(1, Math.round(share * facts.rankMax)));
    const { tied } = presets;
    return parseSearchSpace({
      ...tied,
      rankMax: facts.rankMax,
      alpha: facts.alpha,
      ranks: { ...tied?.ranks, qkv },
    });
  }
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset) return preset;
  const text = await readFile(name, 'utf8').catch((cause: unknown) => {
    throw new CodedError(
      'NOT_FOUND',
      `"${name}" is neither a preset (${Object.keys(presets).join(', ')}) nor a file`,
      { cause },
    );
  });
  try {
    return parseSearchSpace(JSON.parse(text));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new CodedError('SPACE_INVALID', `${name} is not JSON`, { cause });
    throw cause;
  }
}
