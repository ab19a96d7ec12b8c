import type { HostJobs, HostLease, HostMeasuring, HostTurn, HostWork, TurnCalls } from './ports.js';

interface Turn extends TurnCalls {
  readonly work: HostWork;
  state: HostTurn['state'];
  asked: boolean;
}

export interface HostLeaseOptions {
  /** Of this machine; "" when it cannot be told. */
  readonly bootId: string;
  /** Once it fires nothing begins any more. */
  readonly stopping?: AbortSignal;
}

/**
 * Who may load the coordinator's own machine: one measurement of a device there (agents in
 * containers included, since they have its boot id), or else any number of the coordinator's
 * own turns. Work runs beside work: that slows it and falsifies nothing, and where no device
 * measures, nobody ever waits.
 *
 * Invariants:
 * - A measurement is granted only when no turn is under way, and no turn begins from then until
 *   that measurement is over. The exceptions are named: a turn with `atMostMs` whose time is up,
 *   and a job that turns out to be running already (after a restart of the coordinator).
 * - While a measurement waits no turn begins, and when one is over every waiting turn begins before
 *   the next is granted. So neither side waits for more than what the other has under way.
 *
 * Why nothing can wait in a circle: there is one thing to wait for. Whoever waits for it holds
 * nothing that the other side needs: a measurement that waits is a row in the store, and a turn
 * that waits has not begun. Whoever holds it ends by itself: a turn waits for no measurement and for
 * no turn but such as have begun, and a job ends by its device's answer or its deadline, neither of
 * which asks this lease. What the fleet knows of its jobs is not noted here but told anew at every `look`, so
 * that one that was lost (a store that is away, a crash) is made good by the next.
 */
export function createHostLease({ bootId, stopping }: HostLeaseOptions): HostLease {
  let measurement: HostMeasuring['state'] = 'idle';
  const begun = new Set<Turn>();
  const waiting = new Set<Turn>();
  const granted = new Set<() => void>();
  let lastLook: Promise<unknown> = Promise.resolve();

  const isFree = (): boolean => begun.size === 0 && !stopping?.aborted;

  const begin = (turn: Turn): void => {
    // It may have been withdrawn by the call to another one that began just now.
    if (turn.state !== 'waiting' || stopping?.aborted) return;
    waiting.delete(turn);
    turn.state = 'begun';
    begun.add(turn);
    turn.onBegin();
  };

  const end = (turn: Turn): void => {
    const before = turn.state;
    turn.state = 'over';
    waiting.delete(turn);
    begun.delete(turn);
    if (before !== 'begun' || measurement !== 'waiting' || !isFree()) return;
    measurement = 'granted';
    for (const listener of [...granted]) listener();
  };

  const takeTurn = (work: HostWork, calls: TurnCalls): { readonly turn: Turn; readonly handle: HostTurn } => {
    const turn: Turn = { ...calls, work, state: 'waiting', asked: false };
    waiting.add(turn);
    if (measurement === 'idle') begin(turn);
    const handle: HostTurn = {
      get state() {
        return turn.state;
      },
      end: () => end(turn),
    };
    return { turn, handle };
  };

  /** The measurement is over or not wanted any more: everything that waits begins. */
  const free = (): void => {
    measurement = 'idle';
    for (const turn of [...waiting]) begin(turn);
  };

  const askAll = (): void => {
    for (const turn of [...begun]) {
      if (turn.asked) continue;
      turn.asked = true;
      turn.onAsked?.();
    }
  };

  const settle = ({ running, wanted }: HostJobs): void => {
    if (!running && (measurement === 'running' || !wanted)) free();
    if (running) measurement = 'running';
    else if (wanted && measurement === 'idle') measurement = isFree() ? 'granted' : 'waiting';
    if (measurement !== 'idle') askAll();
  };

  return {
    takeTurn: (work, calls) => takeTurn(work, calls).handle,
    async during(work, task, { atMostMs, signal } = {}) {
      signal?.throwIfAborted();
      const stopWaiting: (() => void)[] = [];
      const handle = await new Promise<HostTurn>((resolve, reject) => {
        const taken = takeTurn(work, { onBegin: () => queueMicrotask(() => resolve(taken.handle)) });
        if (taken.turn.state === 'begun') return;
        const giveUp = (): void => {
          if (taken.turn.state !== 'waiting') return;
          end(taken.turn);
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', giveUp, { once: true });
        stopWaiting.push(() => signal?.removeEventListener('abort', giveUp));
        if (atMostMs === undefined) return;
        const timer = setTimeout(() => begin(taken.turn), atMostMs);
        stopWaiting.push(() => clearTimeout(timer));
      }).finally(() => {
        for (const stop of stopWaiting) stop();
      });
      try {
        return await task();
      } finally {
        handle.end();
      }
    },
    measuring: {
      bootId,
      get state() {
        return measurement;
      },
      workers: () => [...new Set([...begun].map(({ work }) => work))],
      look(look) {
        const looked = lastLook.then(async () => {
          const before = measurement;
          settle(await look(before === 'granted'));
          if (before !== 'granted' && measurement === 'granted') settle(await look(true));
        });
        lastLook = looked.catch(() => undefined);
        return looked;
      },
      onGranted(listener) {
        granted.add(listener);
        return () => granted.delete(listener);
      },
    },
  };
}
