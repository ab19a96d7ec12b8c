import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fillerIds } from '@fleetlora/agent/measure';
import { resolveCandidate } from '@fleetlora/shared/engine';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { buildInferenceGraph, type WeightFile } from '@fleetlora/shared/graph';
import type { MeasurePlan } from '@fleetlora/shared/protocol';
import type { Genome } from '@fleetlora/shared/space';
import { downloadPackages, fetchedFolder, unpackPackage } from './fetched-programs.js';
import { checkout } from './reference.js';

const program = join(checkout, 'bench', 'peers', 'bare-loop.mjs');
/**
 * A session of the agent warms up as long: where it stopped earlier or later, the ratio would tell of
 * compiled and uncompiled JavaScript.
 */
const warmUp = { leastMs: 200, mostRuns: 64 } as const;

/** Durations in ms. */
export interface LoopSamples {
  /** Of the runs before the counted ones. */
  readonly warmUp: readonly number[];
  readonly samples: readonly number[];
  /** Id that the last run chose. */
  readonly token: number;
}

export interface LoopTiming {
  readonly loadMs: number;
  readonly prefill: LoopSamples;
  readonly decode: LoopSamples;
}

/** The stand-alone program over one candidate, each run a fresh process. */
export interface BareLoop {
  time(): Promise<LoopTiming>;
  /** Its "Maximum resident set size" by GNU time, in bytes. */
  weigh(): Promise<number>;
}

/**
 * Writes the candidate's graph beside its weights in `folder`, as plain ONNX with external data,
 * and what the stand-alone program must know.
 * @param share prompts and steps that one run times
 * @throws NOT_FOUND when there is no GNU time and none can be fetched
 */
export async function exportForBareLoop(
  model: {
    readonly folder: string;
    readonly base: WeightFile;
    readonly overlay: WeightFile;
    readonly genome: Genome;
  },
  plan: MeasurePlan,
  share: { readonly prefill: number; readonly decode: number },
): Promise<BareLoop> {
  const resolved = resolveCandidate(model);
  const { shape } = resolved;
  const positions = Math.max(plan.promptTokens, plan.kvTokens + 1);
  const graph = buildInferenceGraph({ ...resolved, head: 'logits', cachePositions: positions });
  await writeFile(join(model.folder, 'graph.onnx'), graph);
  const spec = {
    layers: shape.layers,
    kvHeads: shape.kvHeads,
    headDim: shape.headDim,
    positions,
    threads: plan.threads,
    prompt: fillerIds(plan.promptTokens, shape.vocab),
    cached: fillerIds(plan.kvTokens, shape.vocab),
    warmUp,
    prefills: share.prefill,
    decodes: share.decode,
  };
  await writeFile(join(model.folder, 'loop.json'), JSON.stringify(spec));
  const gnuTime = findGnuTime();
  return {
    time: async () => JSON.parse((await run(process.execPath, [program, model.folder, 'time'])).stdout),
    async weigh() {
      const { stderr } = await run(gnuTime, ['-v', process.execPath, program, model.folder, 'weigh']);
      const kilobytes = /Maximum resident set size \(kbytes\): (\d+)/.exec(stderr)?.[1];
      if (kilobytes === undefined)
        throw new CodedError('CHILD_FAILED', `${gnuTime} -v tells no maximum resident set size: ${stderr}`);
      return Number(kilobytes) * 1024;
    },
  };
}

/** GNU time, which looks from outside: an installed one, else the one of Debian's package. @throws NOT_FOUND */
function findGnuTime(): string {
  const installed = '/usr/bin/time';
  if (existsSync(installed)) return installed;
  try {
    const root = fetchedFolder('time', (work, made) => {
      for (const file of downloadPackages(['time'], work)) unpackPackage(file, made);
    });
    return join(root, 'usr', 'bin', 'time');
  } catch (error) {
    throw new CodedError(
      'NOT_FOUND',
      `there is no /usr/bin/time, and none can be fetched: ${messageOf(error)}`,
    );
  }
}

async function run(
  command: string,
  args: readonly string[],
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code, signal] = await once(child, 'close');
  if (code !== 0)
    throw new CodedError(
      'CHILD_FAILED',
      `${args.join(' ')} ended with ${signal ?? code}: ${stderr.slice(-500)}`,
    );
  return { stdout, stderr };
}
