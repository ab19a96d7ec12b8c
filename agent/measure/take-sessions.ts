import { completePlan } from '@fleetlora/shared/protocol';
import { runChild } from '../child/index.js';
import { explainChild, type Verdict } from './explain-child.js';
import type { JobPasses } from './job-passes.js';
import type { PassRequest } from './measure-task.js';
import { disturbancesOf, runWatched, type WatchedRun } from './run-watched.js';
import { parseSessionResult, type SessionRequest, type SessionResult, shareOf } from './session-result.js';

/** Sessions that a job may take beyond its plan, in place of disturbed ones. */
const EXTRA_SESSIONS = 2;

/** A session that counts. */
export type TakenSession = Omit<WatchedRun<unknown>, 'outcome' | 'cutShort'> & {
  readonly result: SessionResult;
};

export interface TakenSessions {
  readonly sessions: readonly TakenSession[];
  /** How many were thrown away. */
  readonly retaken: number;
  /** Others were busy in one that counts. */
  readonly busy: boolean;
}

/**
 * Takes the sessions of a plan, each in a fresh process behind the gates.
 *
 * A session that something disturbed is thrown away and taken anew, at most twice a job in all.
 * After that a disturbed one counts and carries its disturbance, unless completions were served:
 * they compute beside it, and no time is trusted.
 */
export async function takeSessions(
  request: PassRequest,
  batch: SessionRequest['batch'],
  passes: JobPasses,
): Promise<TakenSessions | Verdict> {
  const { task, doors, gates } = passes;
  const count = completePlan(task.plan).sessions;
  const share = shareOf(task.plan, count);
  const sessions: TakenSession[] = [];
  let retaken = 0;
  while (sessions.length < count) {
    const session = sessions.length;
    const mayRetake = retaken < EXTRA_SESSIONS;
    const order: SessionRequest = { ...request, session, reload: session === 0, batch };
    const { outcome, cutShort, ...taken } = await runWatched(doors, {
      gates,
      signal: task.signal,
      whenThrottled: mayRetake ? 'cut' : 'endure',
      run(signal) {
        passes.tell('timing', session, count);
        const parse = (answer: unknown) => parseSessionResult(answer, order, share);
        const child = { entry: passes.entries.session, request: order, parse };
        return passes.run('timing', (limits) => runChild({ ...child, ...limits }), signal);
      },
    });
    if (outcome.kind !== 'answered' && !cutShort) return explainChild(outcome, 'timing', task.timeoutMs);
    const disturbances = disturbancesOf({ ...taken, cutShort });
    if (cutShort || (disturbances.length > 0 && mayRetake)) {
      retaken++;
      doors.onDisturbed?.(session, disturbances);
    } else if (taken.served)
      return {
        outcome: 'failed',
        reason: `the device served completions during ${EXTRA_SESSIONS + 1} sessions, so no time is trusted`,
      };
    else if (outcome.kind === 'answered') sessions.push({ ...taken, result: outcome.answer });
  }
  const busy = sessions.some(({ seen, began }) =>
    // Where nothing could be seen meanwhile, the gate's word counts.
    seen.otherCores === null ? began.others === 'busy' : seen.busy,
  );
  return { sessions, retaken, busy };
}
