/** P(X <= successes) of a binomial with `n` draws and `share` each, in log space. */
export function binomialAtMost(successes: number, n: number, share: number): number {
  let logTerm = n * Math.log1p(-share);
  let sum = Math.exp(logTerm);
  for (let k = 1; k <= successes; k++) {
    logTerm += Math.log((n - k + 1) / k) + Math.log(share / (1 - share));
    sum += Math.exp(logTerm);
  }
  return sum;
}
