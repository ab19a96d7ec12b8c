import { setMaxListeners } from 'node:events';
import type { CodedError } from '../errors.js';
import { asDiskFull, isDiskFull } from './disk-full.js';
import { pause } from './pause.js';

/**
 * Does writes that must not be lost to a full disk: what was to be written stays in memory, and
 * the write is done again until there is space.
 */
export interface Patience {
  /**
   * Runs `work`, again and again while the disk is full. It must leave nothing behind when it fails.
   * @throws what else it throws; the signal's reason once that fires; DISK_FULL after `close`
   */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** The DISK_FULL that something waits with at present, or null. */
  waitingWith(): CodedError | null;
  /** Ends all waiting; later work is tried once. */
  close(): void;
}

export interface PatienceSettings {
  /** The first of the waits begins; said once, however many follow. */
  readonly onWait: (error: CodedError) => void;
  /** The last of them is over. */
  readonly onGoOn: () => void;
  readonly firstWaitMs?: number;
  readonly maxWaitMs?: number;
}

export function createPatience(settings: PatienceSettings): Patience {
  const { firstWaitMs = 200, maxWaitMs = 5000 } = settings;
  const waiting = new Map<symbol, CodedError>();
  const closing = new AbortController();
  // One listener for each that waits, as many as there are.
  setMaxListeners(0, closing.signal);

  return {
    async run(work, signal) {
      const ticket = Symbol();
      try {
        for (let waitMs = firstWaitMs; ; waitMs = Math.min(maxWaitMs, waitMs * 2)) {
          try {
            return await work();
          } catch (error) {
            if (!isDiskFull(error)) throw error;
            const full = (await asDiskFull(error, { path: pathOf(error) })) as CodedError;
            if (!closing.signal.aborted) {
              if (waiting.size === 0) settings.onWait(full);
              waiting.set(ticket, full);
              await pause(waitMs, [closing.signal, ...(signal ? [signal] : [])]);
            }
            signal?.throwIfAborted();
            if (closing.signal.aborted) throw full;
          }
        }
      } finally {
        if (waiting.delete(ticket) && waiting.size === 0 && !closing.signal.aborted) settings.onGoOn();
      }
    },
    waitingWith() {
      const [first] = waiting.values();
      return first ?? null;
    },
    close: () => closing.abort(),
  };
}

function pathOf(error: unknown): string {
  return (error as Partial<NodeJS.ErrnoException>).path ?? '.';
}
