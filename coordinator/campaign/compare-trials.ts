import { CodedError } from '@fleetlora/shared/errors';
import {
  type Batch,
  flagMeanings,
  type Measurement,
  type PercentDifference,
  type TrialComparison,
} from '@fleetlora/shared/protocol';
import { mean, sessionDifference, splitSessions, welchDifference } from '@fleetlora/shared/statistics';
import { compareByCorrection, listDifferences, type MeasuredTrial } from './list-differences.js';

const quantities = ['decode', 'prefill'] as const;
type Quantity = (typeof quantities)[number];
type Measured = MeasuredTrial['trial'];

/**
 * By how much b differs from a. Candidates of one batch are compared round by round; others by the
 * medians of their sessions, whose spread is what a new session may bring (Welch's t interval).
 * Trials of one search are corrected by its sentinel when both can be.
 * @throws NOT_COMPARABLE naming all that differs, or that there are too few sessions
 */
export function compareTrials(a: MeasuredTrial, b: MeasuredTrial): Omit<TrialComparison, 'a' | 'b'> {
  const differences = listDifferences(a, b);
  if (differences.length > 0)
    throw new CodedError(
      'NOT_COMPARABLE',
      `trials ${a.name} and ${b.name} were not measured in the same way: ${differences.join('; ')}`,
    );
  const paired = isSameBatch(a.trial, b.trial)
    ? compareInBatch(a.trial.measurement, b.trial.measurement)
    : null;
  const times = paired ?? compareSessions(a, b);
  const [first, second] = [a.trial.measurement, b.trial.measurement];
  return {
    paired: paired !== null,
    ...times,
    peakBytesPercent: 100 * (second.peakBytes / first.peakBytes - 1),
    shippedBytesPercent: 100 * (second.shippedBytes / first.shippedBytes - 1),
    notices: [...noticeWays(a, b, paired !== null), ...noticeFlags(a, b)],
  };
}

/** A batch is known by the seed of its rounds and by what its duplicate showed. */
function isSameBatch(a: Measured, b: Measured): boolean {
  const [first, second] = [a.measurement.batch, b.measurement.batch];
  return (
    first !== undefined &&
    second !== undefined &&
    a.searchId === b.searchId &&
    a.deviceId === b.deviceId &&
    first.seed === second.seed &&
    first.size === second.size &&
    first.position !== second.position &&
    JSON.stringify(valuesOf(first.duplicate)) === JSON.stringify(valuesOf(second.duplicate))
  );
}

/** In a fixed order, which a jsonb column does not keep. */
const valuesOf = (duplicate: Batch['duplicate']): number[] =>
  quantities.flatMap((quantity) => {
    const { percent, low, high } = duplicate[quantity];
    return [percent, low, high];
  });

/** Null when the raw samples are gone and neither is the one that all were compared with. */
function compareInBatch(a: Measurement, b: Measurement): Record<Quantity, PercentDifference> | null {
  const [decode, prefill] = quantities.map((quantity) => {
    const [before, after] = [sharedSessionsOf(a, quantity), sharedSessionsOf(b, quantity)];
    if (before && after) return sessionDifference(after, before);
    if (a.batch?.position === 0) return b.batch?.difference[quantity];
    return b.batch?.position === 0 && a.batch ? reversed(a.batch.difference[quantity]) : undefined;
  });
  return decode && prefill ? { decode, prefill } : null;
}

/**
 * Samples of the shared sessions, null when they are gone: the first candidate's others are of
 * sessions of its own, of the same sizes.
 */
function sharedSessionsOf({ batch, ...timings }: Measurement, quantity: Quantity): number[][] | null {
  const { samplesMs, sessionSizes = [] } = timings[quantity];
  const samples = batch?.position === 0 ? (batch.sharedSamplesMs?.[quantity] ?? []) : samplesMs;
  return samples.length === 0 ? null : splitSessions(samples, sessionSizes);
}

/** "x is 25 % above y" told of y. */
function reversed({ percent, low, high }: PercentDifference): PercentDifference {
  const turn = (value: number): number => 100 * (1 / (1 + Math.max(value, -99.99) / 100) - 1);
  return { percent: turn(percent), low: turn(high), high: turn(low) };
}

function compareSessions(a: MeasuredTrial, b: MeasuredTrial): Record<Quantity, PercentDifference> {
  const isCorrected = compareByCorrection(a, b);
  const compare = (quantity: Quantity): PercentDifference => {
    const [before, after] = [a, b].map(({ name, trial }) => {
      const { sessionMediansMs: medians = [] } = trial.measurement[quantity];
      if (medians.length < 2)
        throw new CodedError(
          'NOT_COMPARABLE',
          `trial ${name} has ${quantity} times of ${medians.length === 1 ? 'one session' : 'sessions that were not told apart'}, wanted at least 2: nothing else tells how far sessions differ`,
        );
      const factor = isCorrected ? (trial.correction?.[quantity] ?? 1) : 1;
      return medians.map((ms) => ms / factor);
    }) as [number[], number[]];
    const difference = welchDifference(after, before);
    const whole = mean(before);
    return {
      percent: (100 * difference.mean) / whole,
      low: (100 * difference.low) / whole,
      high: (100 * difference.high) / whole,
    };
  };
  return { decode: compare('decode'), prefill: compare('prefill') };
}

function noticeWays(a: MeasuredTrial, b: MeasuredTrial, paired: boolean): string[] {
  if (paired) return [];
  const notices: string[] = [];
  if (a.trial.searchId !== b.trial.searchId)
    notices.push(
      `they are of the searches "${a.searchName}" and "${b.searchName}": what the device changed in between is not corrected`,
    );
  if (a.trial.deviceId !== b.trial.deviceId)
    notices.push(
      `they were measured on the devices ${a.trial.deviceId} and ${b.trial.deviceId}: times are compared as the search's sentinel corrects them, memory as it is`,
    );
  return notices;
}

function noticeFlags(a: MeasuredTrial, b: MeasuredTrial): string[] {
  return [a, b].flatMap(({ name, trial }) =>
    (trial.measurement.flags ?? []).map((flag) => `${name} is flagged ${flag}: ${flagMeanings[flag]}`),
  );
}
