import { type Beside, besidePlanOf } from '@fleetlora/shared/protocol';
import { hugePageEnvironment, runChild } from '../child/index.js';
import type { ModelFiles } from '../model/index.js';
import { type BesideRequest, type BesideResult, parseBesideResult } from './beside-result.js';
import { explainChild, type Verdict } from './explain-child.js';
import type { JobPasses } from './job-passes.js';
import type { PassRequest } from './measure-task.js';
import { runWatched } from './run-watched.js';
import { shareOf } from './session-result.js';
import { summarizeBeside } from './summarize-beside.js';

/**
 * Times the candidate in turns with the sentinel, in fresh sessions that have huge pages where there
 * are some: luck with small ones is no property of a candidate, and a ratio has it twice.
 *
 * What disturbs such a session slows both, so none is taken anew, but for served completions: those
 * come and go within a turn. One such session more than the plan has sessions, and nothing is told.
 * @returns null where no ratio could be had: two models need more memory than one, which must not
 *   make a candidate infeasible that runs well by itself
 */
export async function takeBeside(
  request: PassRequest,
  sentinel: ModelFiles & { readonly genome: string },
  passes: JobPasses,
): Promise<Beside | Verdict | null> {
  const { task, doors, gates } = passes;
  const plan = besidePlanOf(task.plan);
  const count = plan.sessions;
  const share = shareOf(plan, count);
  const seed = doors.random.below(2 ** 32);
  const sessions: BesideResult[] = [];
  for (let tries = 0; sessions.length < count; tries++) {
    if (tries > 2 * count) return null;
    const order: BesideRequest = { ...request, sentinel, session: tries, seed, share };
    const { outcome, served } = await runWatched(doors, {
      gates,
      signal: task.signal,
      whenThrottled: 'endure',
      run(signal) {
        passes.tell('timing', sessions.length, count);
        const parse = (answer: unknown) => parseBesideResult(answer, share);
        const environment = hugePageEnvironment();
        const child = { entry: passes.entries.beside, request: order, parse, environment };
        return passes.run(
          'timing beside the sentinel',
          (limits) => runChild({ ...child, ...limits }),
          signal,
        );
      },
    });
    if (outcome.kind === 'answered') {
      if (!served) sessions.push(outcome.answer);
      continue;
    }
    const verdict = explainChild(outcome, 'timing beside the sentinel', task.timeoutMs);
    return verdict.outcome === 'infeasible' ? null : verdict;
  }
  return summarizeBeside(sessions, sentinel.genome, seed);
}
