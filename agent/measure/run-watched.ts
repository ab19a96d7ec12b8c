import type { WatchReport } from '../host/ports.js';
import type { Gates, PassedGates } from './gates.js';
import type { MeasureDoors } from './measure-task.js';
import type { PassOutcome } from './run-pass.js';

/** A pass that was timed, and what the machine went through meanwhile. */
export interface WatchedRun<T> {
  readonly outcome: PassOutcome<T>;
  readonly began: PassedGates;
  readonly seen: WatchReport;
  /** Completions were served meanwhile. */
  readonly served: boolean;
  readonly tookMs: number;
  /** It was ended because the machine was throttled. */
  readonly cutShort: boolean;
}

export interface WatchedPass<T> {
  readonly gates: Gates;
  /** Runs the child until it ends or the signal is aborted. */
  readonly run: (signal: AbortSignal) => Promise<PassOutcome<T>>;
  readonly signal?: AbortSignal | undefined;
  /** What to do once the machine is throttled: cut the pass short, or let it end. */
  readonly whenThrottled: 'cut' | 'endure';
}

/**
 * Runs a pass behind the gates and watches the machine meanwhile.
 * @throws the signal's reason when it is aborted at a gate
 */
export async function runWatched<T>(
  { clock, machine, activity }: Pick<MeasureDoors, 'clock' | 'machine' | 'activity'>,
  { gates, run, signal, whenThrottled }: WatchedPass<T>,
): Promise<WatchedRun<T>> {
  const began = await gates.pass(signal);
  const before = activity.startedRequests();
  const cut = new AbortController();
  // A machine that was too warm from the start will be throttled in the next try, too.
  const onThrottled = (): void => {
    if (whenThrottled === 'cut' && !began.hot) cut.abort();
  };
  const watch = await machine.watch({ onThrottled });
  const beginMs = clock.monotonicMs();
  try {
    const outcome = await run(signal ? AbortSignal.any([signal, cut.signal]) : cut.signal);
    const tookMs = clock.monotonicMs() - beginMs;
    return {
      outcome,
      began,
      seen: await watch.end(),
      served: activity.startedRequests() !== before,
      tookMs,
      cutShort: cut.signal.aborted && outcome.kind === 'canceled' && !signal?.aborted,
    };
  } finally {
    await watch.end();
  }
}

/**
 * Why a pass deserves another try. What was so already when it began is no reason: the gates have
 * waited for it as long as they may.
 */
export function disturbancesOf({ began, seen, served }: Omit<WatchedRun<unknown>, 'outcome'>): string[] {
  return [
    ...(served ? ['completions were served'] : []),
    ...(seen.throttled && !began.hot ? ['the processor was throttled'] : []),
    ...(seen.busy && began.others === 'quiet'
      ? [`other processes kept ${seen.otherCores?.toFixed(2)} cores busy`]
      : []),
  ];
}
