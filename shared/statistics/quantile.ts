/** In ascending order, the input unchanged. */
export function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

/**
 * The nearest-rank quantile: the smallest sample that at least a share `p` of all samples does
 * not exceed, so the result is always a value that was seen.
 * @param p in (0, 1]
 * @throws RangeError for no samples or a `p` outside (0, 1]
 */
export function quantile(samples: readonly number[], p: number): number {
  if (samples.length === 0) throw new RangeError('a quantile of no samples was asked for');
  if (!(p > 0 && p <= 1)) throw new RangeError(`quantile ${p} is outside (0, 1]`);
  // 0.9 * 10 is 9.000000000000002 for some p: a whole number of samples must not round up.
  const rank = Math.ceil(p * samples.length - 1e-9);
  return sorted(samples)[Math.max(rank, 1) - 1] as number;
}

/** The middle sample, or the mean of the two middle ones. @throws RangeError for no samples */
export function median(samples: readonly number[]): number {
  if (samples.length === 0) throw new RangeError('a median of no samples was asked for');
  const ascending = sorted(samples);
  const upper = ascending[Math.floor(ascending.length / 2)] as number;
  return ascending.length % 2 === 1 ? upper : (upper + (ascending[ascending.length / 2 - 1] as number)) / 2;
}

/** Arithmetic mean; NaN for no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation with n - 1 in the denominator; NaN for fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return values.length < 2 ? Number.NaN : Math.sqrt(squares / (values.length - 1));
}
