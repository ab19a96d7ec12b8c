import { isAllocationFailure } from '../child/index.js';
import type { Killer } from './oom-kills.js';
import type { PassOutcome } from './run-pass.js';

/** How a job ends without a measurement. */
export interface Verdict {
  readonly outcome: 'infeasible' | 'failed' | 'rejected' | 'canceled' | 'postponed';
  readonly reason: string;
}

/** Signals by which someone stops the agent and its children; they say nothing of the candidate. */
const STOP_SIGNALS: readonly string[] = ['SIGTERM', 'SIGINT', 'SIGHUP'];
/** Windows ends a crashed process with an NTSTATUS of severity "error". */
const FIRST_NTSTATUS_ERROR = 0xc0000000;

/**
 * What the end of a measuring process says about its candidate.
 *
 * A process that the kernel killed for lack of memory, that crashed, or could not get memory makes
 * the candidate infeasible on this device. One that somebody else killed is a failure. An error
 * that the process caught and told is a failure, or a rejection when the input itself is at fault.
 * @param step names the pass in the reason
 */
export function explainChild(
  outcome: Exclude<PassOutcome<unknown>, { kind: 'answered' }>,
  step: string,
  timeoutMs: number,
): Verdict {
  switch (outcome.kind) {
    case 'canceled':
      return { outcome: 'canceled', reason: `canceled while ${step}` };
    case 'timedOut':
      return {
        outcome: 'failed',
        reason: `${step} was not done after the job's ${timeoutMs} ms and was killed`,
      };
    case 'threw':
      if (isAllocationFailure(outcome.message))
        return { outcome: 'infeasible', reason: `${step} found no memory: ${outcome.message}` };
      return {
        outcome: outcome.errorKind === 'input' ? 'rejected' : 'failed',
        reason: `${step} failed: ${outcome.message}`,
      };
    case 'died': {
      const { signal, exitCode } = outcome;
      if (signal && STOP_SIGNALS.includes(signal))
        return { outcome: 'failed', reason: `${step} was stopped by ${signal}` };
      if (signal === 'SIGKILL') return explainKill(outcome.killer ?? 'unknown', step);
      if (signal) return { outcome: 'infeasible', reason: `${step} crashed with ${signal}` };
      if (exitCode !== null && exitCode >= FIRST_NTSTATUS_ERROR)
        return { outcome: 'infeasible', reason: `${step} crashed with status 0x${exitCode.toString(16)}` };
      return { outcome: 'failed', reason: `${step} ended with exit code ${exitCode} and no answer` };
    }
  }
}

/** @param killer of the last try: a pass whose child somebody else kills is tried again before */
function explainKill(killer: Killer, step: string): Verdict {
  switch (killer) {
    case 'memory':
      return { outcome: 'infeasible', reason: `${step} was killed by SIGKILL: the system ran out of memory` };
    case 'other':
      return {
        outcome: 'failed',
        reason: `${step} was killed by SIGKILL again and again, though no memory was lacking`,
      };
    case 'unknown':
      return { outcome: 'infeasible', reason: `${step} was killed by SIGKILL, most likely out of memory` };
  }
}
