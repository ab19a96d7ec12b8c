import type { ChildOutcome } from '../child/index.js';
import { judgeKiller, type Killer, type OomKills } from './oom-kills.js';

/** How a pass ended; `killer` is told of a child that SIGKILL ended. */
export type PassOutcome<T> = ChildOutcome<T> & { readonly killer?: Killer };

export interface PassDoors {
  readonly readOomKills: () => Promise<OomKills>;
  /** Told before a pass is taken again because its child was killed. */
  readonly onKilled?: ((killer: Killer) => void) | undefined;
}

/** Tries of a pass whose child somebody kills. */
const KILLED_TRIES = 2;

/**
 * Runs a pass, and once more when its child was ended by a SIGKILL that the kernel did not send
 * for lack of memory, or may not have sent: such a kill says nothing of the candidate.
 */
export async function runPass<T>(
  pass: () => Promise<ChildOutcome<T>>,
  { readOomKills, onKilled }: PassDoors,
): Promise<PassOutcome<T>> {
  for (let tries = 1; ; tries++) {
    const before = await readOomKills();
    const outcome = await pass();
    if (outcome.kind !== 'died' || outcome.signal !== 'SIGKILL') return outcome;
    const killer = judgeKiller(before, await readOomKills());
    if (killer === 'memory' || tries === KILLED_TRIES) return { ...outcome, killer };
    onKilled?.(killer);
  }
}
