import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@fleetlora/shared/errors';

/** Outages this long are ridden out: a coordinator or database that restarts is back within seconds. */
const OUTAGE_MS = 60_000;

/**
 * Asks `read` again and again until `isDone` accepts its answer, which is returned; `onAnswer`
 * sees every answer. A coordinator or store that is away for less than a minute is waited for.
 * @throws what `read` throws otherwise, and the signal's reason when aborted
 */
export async function waitFor<T>(
  read: () => Promise<T>,
  isDone: (answer: T) => boolean,
  options: { signal: AbortSignal; everyMs: number; onAnswer?: (answer: T) => void },
): Promise<T> {
  let lastAnswerMs = performance.now();
  for (;;) {
    try {
      const answer = await read();
      lastAnswerMs = performance.now();
      options.onAnswer?.(answer);
      if (isDone(answer)) return answer;
    } catch (error) {
      const waited = performance.now() - lastAnswerMs;
      const passes = error instanceof CodedError && error.kind === 'unavailable';
      if (!passes || waited > OUTAGE_MS) throw error;
    }
    await sleep(options.everyMs, undefined, { signal: options.signal });
  }
}
