import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { makeFolder } from '@fleetlora/shared/node';
import type { MeasurePlan } from '@fleetlora/shared/protocol';
import { runChild } from '../child/index.js';
import { explainChild, type MeasureOutcome, type MeasureTask, type Verdict } from '../measure/index.js';
import { standardDigests, standardGenome } from './standard-model.js';

/** How the standard candidate is measured; part of the standard. */
export const standardPlan: MeasurePlan = {
  promptTokens: 128,
  kvTokens: 256,
  prefillRepeats: 50,
  decodeRepeats: 325,
  threads: 1,
  sessions: 5,
  provider: 'cpu',
};

/** Where it is measured, and for how long at most. */
export interface StandardTask {
  /** Made for this and removed with all it holds: the standard model takes 28 MB. */
  readonly scratch: string;
  /** For all child processes together; waiting for the machine and pausing do not count. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Measures one candidate, as `measureJob` does. */
export type Measure = (task: MeasureTask) => Promise<MeasureOutcome>;

export interface StandardDoors {
  readonly clock: Clock;
  readonly measure: Measure;
}

/** Measures the standard candidate once by a plan. */
export type MeasureStandard = (
  plan: MeasurePlan,
  options?: Pick<MeasureTask, 'energy'>,
) => Promise<MeasureOutcome>;

const files = { base: 'base', adapter: 'adapter' };
const entry = new URL('./standard-child.js', import.meta.url);

/**
 * Makes the standard model's files, hands over what measures it, and removes the files.
 * @returns what `work` returns, or how making them ended: `infeasible` for want of memory
 * @throws DISK_FULL when the scratch folder has no room for them
 * @throws DIGEST_MISMATCH when this device made other bytes: a figure of theirs would compare with
 *   none of another device
 */
export async function withStandardModel<T>(
  { scratch, timeoutMs, signal }: StandardTask,
  { clock, measure }: StandardDoors,
  work: (measureStandard: MeasureStandard) => Promise<T>,
): Promise<T | Verdict> {
  const folder = join(scratch, 'model');
  const beganMs = clock.monotonicMs();
  try {
    await makeFolder(folder);
    const made = await runChild({
      entry,
      request: { folder, ...files },
      parse: parseDigests,
      timeoutMs,
      ...(signal && { signal }),
    });
    if (made.kind === 'threw' && made.code === 'DISK_FULL') throw new CodedError('DISK_FULL', made.message);
    if (made.kind !== 'answered') return explainChild(made, 'making the standard model', timeoutMs);
    for (const name of ['base', 'adapter'] as const)
      if (made.answer[name] !== standardDigests[name])
        throw new CodedError(
          'DIGEST_MISMATCH',
          `this device made the standard ${name} file ${made.answer[name]}, wanted ${standardDigests[name]}`,
        );
    let spentMs = clock.monotonicMs() - beganMs;
    return await work(async (plan, options) => {
      const startMs = clock.monotonicMs();
      const outcome = await measure({
        folder,
        ...files,
        baseDigest: standardDigests.base,
        adapterDigest: standardDigests.adapter,
        genome: standardGenome,
        plan,
        ...options,
        scratch: join(scratch, 'run'),
        timeoutMs: Math.max(1, timeoutMs - spentMs),
        signal,
      });
      spentMs += clock.monotonicMs() - startMs - waitedMsOf(outcome);
      return outcome;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Waiting for the machine, which the time for child processes does not cover. */
function waitedMsOf(outcome: MeasureOutcome): number {
  if (outcome.outcome !== 'measured' || !outcome.measurement.machine) return 0;
  const { cooling, quiet, serving } = outcome.measurement.machine.waitedMs;
  return cooling + quiet + serving;
}

function parseDigests(answer: unknown): { base: string; adapter: string } {
  const { base, adapter } = (answer ?? {}) as Partial<Record<string, unknown>>;
  return { base: String(base), adapter: String(adapter) };
}
