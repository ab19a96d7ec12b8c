import { CodedError } from '@fleetlora/shared/errors';
import type { Batch, PercentDifference, Timing, TimingPass } from '@fleetlora/shared/protocol';
import { median, sessionDifference, summarizeTiming } from '@fleetlora/shared/statistics';
import type { SessionResult, SessionSamples } from './session-result.js';

/** Figures of one candidate of a job. */
export interface TimedCandidate {
  readonly timing: TimingPass;
  readonly batch?: Batch;
  /** The duplicate of the batch was told apart from its original. */
  readonly duplicateDiffers: boolean;
}

const quantities = ['prefill', 'decode'] as const;
type Quantity = (typeof quantities)[number];
type Both<T> = Record<Quantity, T>;
const both = <T>(of: (quantity: Quantity) => T): Both<T> => ({
  prefill: of('prefill'),
  decode: of('decode'),
});

/**
 * Figures of all candidates of a job from its sessions.
 *
 * The first one's are those of its own sessions. Every other one's come from the shared sessions,
 * shifted by what the first one's differ there: sessions with factors as inputs are a little slower
 * than sessions that hold them. Load times of the others are the first one's: their files are the
 * same, and how many rows of a factor are read does not show.
 * @param sessions at least one, of one request
 */
export function summarizeSessions(sessions: readonly SessionResult[], seed: number): TimedCandidate[] {
  const [first] = sessions;
  if (!first) throw new CodedError('BUG', '0 sessions were taken, wanted at least 1');
  const coldLoadsMs = sessions.map(({ coldLoadMs }) => roundMs(coldLoadMs));
  const loads = {
    runtime: first.runtime,
    provider: first.provider,
    coldLoadMs: roundMs(median(coldLoadsMs)),
    warmLoadMs: roundMs(first.warmLoadMs ?? 0),
    coldLoadsMs,
  };
  const absolute = both((quantity) =>
    summarizeTiming(sessions.map((session) => samplesOf(session, quantity))),
  );
  const entrants = first.shared.length;
  if (entrants === 0) return [{ timing: { ...loads, ...absolute }, duplicateDiffers: false }];

  const sharedOf = (entrant: number, quantity: Quantity): number[][] =>
    sessions.map(({ shared }) => samplesOf(shared[entrant] as SessionSamples, quantity));
  const size = entrants - 1;
  const compare = (entrant: number, quantity: Quantity, confidence?: number): PercentDifference =>
    sessionDifference(sharedOf(entrant, quantity), sharedOf(0, quantity), confidence);
  const duplicate = both((quantity) => compare(size, quantity));
  const duplicateDiffers = quantities.some((quantity) => {
    const { low, high } = compare(size, quantity, DUPLICATE_CONFIDENCE);
    return low > 0 || high < 0;
  });
  const offsetMs = both(
    (quantity) => absolute[quantity].p50Ms - summarizeTiming(sharedOf(0, quantity)).p50Ms,
  );

  return Array.from({ length: size }, (_, position): TimedCandidate => {
    const figures = (quantity: Quantity): Timing =>
      position === 0 ? absolute[quantity] : summarizeTiming(sharedOf(position, quantity), offsetMs[quantity]);
    const difference = (quantity: Quantity): PercentDifference =>
      position === 0 ? { percent: 0, low: 0, high: 0 } : compare(position, quantity);
    return {
      timing: { ...loads, ...both(figures) },
      batch: {
        size,
        position,
        seed,
        duplicate,
        difference: both(difference),
        ...(position === 0
          ? { sharedSamplesMs: both((quantity) => sharedOf(0, quantity).flat().map(roundMs)) }
          : {}),
      },
      duplicateDiffers,
    };
  });
}

/** Of two quantities one is told apart by chance in 5 % of the batches: each at half of that. */
const DUPLICATE_CONFIDENCE = 1 - 0.05 / quantities.length;

function samplesOf(samples: SessionSamples, quantity: Quantity): number[] {
  return quantity === 'prefill' ? samples.prefillMs : samples.decodeMs;
}

/** To 0.1 µs, as all samples are told. */
function roundMs(ms: number): number {
  return Math.round(ms * 1e4) / 1e4;
}
