/**
 * Kendall's tau-b of two rankings of the same items: 1 when they agree on every pair, -1 when on
 * none; pairs tied in one ranking shrink the denominator. NaN when one of them is constant.
 * @throws RangeError for unequal lengths
 * @source M. G. Kendall, Biometrika 33 (1945) 239-251
 */
export function kendallTau(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} values are ranked against ${b.length}`);
  let balance = 0;
  let untiedA = 0;
  let untiedB = 0;
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      const orderA = Math.sign((a[i] as number) - (a[j] as number));
      const orderB = Math.sign((b[i] as number) - (b[j] as number));
      balance += orderA * orderB;
      untiedA += Math.abs(orderA);
      untiedB += Math.abs(orderB);
    }
  }
  return balance / Math.sqrt(untiedA * untiedB);
}
