import type { Timing } from '@fleetlora/shared/protocol';

/** As much of a timing as the sentinel is judged by; the interval is absent below two sessions. */
export type SentinelTiming = Pick<Timing, 'p50Ms' | 'lowMs' | 'highMs'>;
export interface SentinelFigures {
  readonly decode: SentinelTiming;
  readonly prefill: SentinelTiming;
}

export interface DriftVerdict {
  /** What latencies of around that time are to be divided by: 1 where nothing is told apart. */
  readonly decode: number;
  readonly prefill: number;
  /** Why the device is not to be trusted until it qualifies anew; null when it is. */
  readonly drift: string | null;
}

/** A machine that is well differs by up to this from hour to hour. */
export const noiseShare = 0.03;
/** By so much the figure of a single session may be off. */
const sessionBiasShare = 0.1;
/** A device that changed by more between two sentinels is another machine than it was. */
export const driftShare = 0.1;

/** 3 % are 3 % also where rounding makes them 3.0000000000001. */
const TOLERANCE = 1e-9;

const quantities = ['decode', 'prefill'] as const;

/**
 * What a device's latest sentinel says of it: how its figures are to be corrected, and whether it
 * drifted. Differences within 3 %, or within the intervals of the two figures, are noise.
 * @param reference the search's first sentinel, of whichever device
 * @param standing the device's own last one; null for its first, and for the first one after a
 *   drift, which stand for what the device is now
 */
export function judgeDrift(
  latest: SentinelFigures,
  reference: SentinelFigures,
  standing: SentinelFigures | null,
): DriftVerdict {
  const drifts = quantities.flatMap((quantity) => {
    const before = standing?.[quantity];
    if (before === undefined || !isToldApart(latest[quantity], before)) return [];
    const change = latest[quantity].p50Ms / before.p50Ms - 1;
    if (Math.abs(change) <= driftShare + TOLERANCE) return [];
    const span = `${before.p50Ms.toFixed(2)} ms, then ${latest[quantity].p50Ms.toFixed(2)} ms`;
    return [`${quantity} of the sentinel took ${span} (${formatChange(change)})`];
  });
  const factor = (quantity: (typeof quantities)[number]): number =>
    isToldApart(latest[quantity], reference[quantity])
      ? latest[quantity].p50Ms / reference[quantity].p50Ms
      : 1;
  return {
    decode: factor('decode'),
    prefill: factor('prefill'),
    drift: drifts.length === 0 ? null : drifts.join(', '),
  };
}

/** More than the noise, and more than the half widths of both intervals, taken as independent. */
function isToldApart(a: SentinelTiming, b: SentinelTiming): boolean {
  const difference = Math.abs(a.p50Ms - b.p50Ms);
  return (
    difference > (noiseShare + TOLERANCE) * b.p50Ms && difference > Math.hypot(halfWidth(a), halfWidth(b))
  );
}

const halfWidth = ({ p50Ms, lowMs, highMs }: SentinelTiming): number =>
  lowMs === undefined || highMs === undefined ? sessionBiasShare * p50Ms : (highMs - lowMs) / 2;

/** "+12.3 %". */
export function formatChange(share: number): string {
  return `${share < 0 ? '-' : '+'}${Math.abs(100 * share).toFixed(1)} %`;
}
