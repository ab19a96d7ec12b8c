import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, findInCauses, messageOf } from '@fleetlora/shared/errors';

/** Whether the database can be read and written. */
export type StoreState =
  | { readonly available: true }
  | { readonly available: false; readonly code: OutageCode; readonly sinceMs: number };
export type OutageCode = 'STORE_UNAVAILABLE' | 'DISK_FULL';

/** The database cannot do it at present; the same thing done again later may succeed. */
export class StoreOutage extends CodedError {
  constructor(code: OutageCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** The database's own outage in an error or in one of its causes; another disk's is not waited for here. */
export function findOutage(error: unknown): StoreOutage | null {
  return findInCauses(error, (inner) => inner instanceof StoreOutage);
}

export interface StoreLog {
  info(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** Rides out the times in which the database cannot be reached, or its disk is full. */
export interface OutagePatience {
  state(): StoreState;
  /** Calls the listener at every change; returns how to stop that. */
  onState(listener: (state: StoreState) => void): () => void;
  /**
   * Runs `attempt`, again and again while it fails by an outage. An attempt that failed must have
   * changed nothing.
   * @throws what else the attempt throws; the outage after `end`
   */
  run<T>(kind: 'read' | 'write', attempt: () => Promise<T>): Promise<T>;
  /** From now on nothing waits: an outage is thrown, also where one is being waited for. */
  end(): void;
}

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5000;

/**
 * Invariant: while the state is `unavailable` at least one attempt is being repeated, so that the
 * return of the database is noticed although nothing new is asked of it.
 */
export function createOutagePatience({ clock, log }: { clock: Clock; log: StoreLog }): OutagePatience {
  let state: StoreState = { available: true };
  let ended = false;
  const listeners = new Set<(state: StoreState) => void>();
  /** Those who wait for their next attempt. */
  const sleepers = new Set<() => void>();
  const wakeAll = (): void => {
    for (const wake of [...sleepers]) wake();
  };

  const become = (next: StoreState): void => {
    state = next;
    for (const listener of [...listeners]) listener(next);
  };
  const noteOutage = (outage: StoreOutage): void => {
    if (!state.available && state.code === outage.code) return;
    // One line for an outage, however many statements meet it.
    log.error({ code: outage.code, reason: outage.message }, 'the store is unavailable; waiting for it');
    const sinceMs = state.available ? clock.nowMs() : state.sinceMs;
    become({ available: false, code: outage.code as OutageCode, sinceMs });
  };
  const noteSuccess = (kind: 'read' | 'write'): void => {
    // A full disk can still be read: only a write proves that there is room again.
    if (state.available || (kind === 'read' && state.code === 'DISK_FULL')) return;
    log.info({ outageMs: clock.nowMs() - state.sinceMs }, 'the store is available again');
    become({ available: true });
    wakeAll();
  };
  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      sleepers.add(wake);
    });

  return {
    state: () => state,
    onState(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async run(kind, attempt) {
      for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2)) {
        try {
          const result = await attempt();
          noteSuccess(kind);
          return result;
        } catch (error) {
          const outage = findOutage(error);
          if (outage === null) throw error;
          if (ended) throw outage;
          noteOutage(outage);
        }
        await sleep(waitMs);
        if (ended)
          throw new StoreOutage('STORE_UNAVAILABLE', 'the store was closed while it was unavailable');
      }
    },
    end() {
      ended = true;
      wakeAll();
    },
  };
}

/** "reason (cause)" where an error has one, on one line. */
export function describeCause(error: unknown): string {
  const text = messageOf(error) || ((error as NodeJS.ErrnoException).code ?? 'unknown reason');
  return text.replaceAll('\n', ' ').slice(0, 300);
}
