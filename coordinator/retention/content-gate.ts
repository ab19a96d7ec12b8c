import { CodedError } from '@fleetlora/shared/errors';

/**
 * Keeps the deletion of stored files and records apart from work that relies on them: an import
 * between the look at its files and the insert of its record, a release being made, a backup.
 */
export interface ContentGate {
  /**
   * Runs `work` while nothing is deleted. Any number of holders run at once, and one may call
   * another. For bytes that are streamed, `work` ends when the last one is sent.
   * @param what who holds, as it stands in messages: "a backup"
   */
  hold<T>(what: string, work: () => Promise<T>): Promise<T>;
  /**
   * Runs `work`, which deletes, once there are no holders; holders that come meanwhile wait for its
   * end, so it has to be short. It must not hold the gate itself.
   * @param patience ends the waiting, not the work
   * @throws STATE_CONFLICT naming the holders when patience ended first; then nothing was run
   */
  exclusively<T>(work: () => Promise<T>, patience: AbortSignal): Promise<T>;
}

/**
 * Invariants:
 * - While an exclusive section runs there is no holder, and no second section.
 * - A waiting section keeps no holder out. So a holder inside a holder never waits for itself, and
 *   a backup of an hour delays deletions, never an import.
 */
export function createContentGate(): ContentGate {
  const holders = new Map<symbol, string>();
  /** Settles at the end of the section that runs; null when none does. */
  let section: Promise<unknown> | null = null;
  /** Called at every change, to look again. */
  const waiting = new Set<() => void>();
  const changed = (): void => {
    for (const look of [...waiting]) look();
  };

  /** Resolves when nothing holds and nothing deletes, in the very moment it is so. */
  const untilFree = (patience: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        waiting.delete(look);
        patience.removeEventListener('abort', giveUp);
        settle();
      };
      const look = (): void => {
        if (holders.size === 0 && section === null) end(resolve);
      };
      const giveUp = (): void =>
        end(() => reject(new CodedError('STATE_CONFLICT', describe([...holders.values()]))));
      waiting.add(look);
      patience.addEventListener('abort', giveUp, { once: true });
      look();
      if (patience.aborted) giveUp();
    });

  return {
    async hold(what, work) {
      while (section !== null) await section;
      const holder = Symbol(what);
      holders.set(holder, what);
      try {
        return await work();
      } finally {
        holders.delete(holder);
        changed();
      }
    },
    async exclusively(work, patience) {
      // Two that wait are let in by one change; the second finds the first one's section and waits on.
      do await untilFree(patience);
      while (holders.size > 0 || section !== null);
      const running = work();
      section = running.catch(() => undefined);
      try {
        return await running;
      } finally {
        section = null;
        changed();
      }
    },
  };
}

function describe(holders: readonly string[]): string {
  const names = [...new Set(holders)];
  const shown = names.slice(0, 3).join(', ');
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return `nothing is deleted while stored files are in use by ${shown || 'another clean-up'}${more}; try again when that has ended`;
}
