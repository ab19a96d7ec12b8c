import { judgeDrift } from '@fleetlora/coordinator/campaign';
import t from 'tap';

/** A figure with an interval of so many percent up and down, or of a single session. */
const timing = (p50Ms: number, halfPercent: number | null = 0) =>
  halfPercent === null
    ? { p50Ms }
    : { p50Ms, lowMs: p50Ms * (1 - halfPercent / 100), highMs: p50Ms * (1 + halfPercent / 100) };
const figures = (decodeMs: number, halfPercent: number | null = 0, prefillMs = 100) => ({
  decode: timing(decodeMs, halfPercent),
  prefill: timing(prefillMs, halfPercent),
});

for (const [decodeMs, halfPercent, factor, why] of [
  [10, 0, 1, 'equal'],
  [10.3, 0, 1, '3 % is noise'],
  [9.7, 0, 1, '3 % less is noise'],
  [10.31, 0, 1.031, 'more than 3 %'],
  [9.69, 0, 0.969, 'more than 3 % less'],
  // Half widths 0.4 and 0.42 are 0.58 together.
  [10.57, 4, 1, 'within the intervals'],
  [10.6, 4, 1.06, 'outside of them'],
  [20, 0, 2, 'a device of another speed'],
  // Each may be off by a tenth: 1.0 and 1.16 are 1.53 together.
  [11.5, null, 1, 'single sessions that may be off by a tenth each'],
  [11.7, null, 1.17, 'single sessions that differ by more'],
] as const)
  t.test(`first sentinel ${decodeMs} ms, reference 10 ms: ${why}, factor ${factor}`, async (t) => {
    const verdict = judgeDrift(figures(decodeMs, halfPercent), figures(10, halfPercent), null);
    t.ok(Math.abs(verdict.decode - factor) < 1e-9, `${verdict.decode}`);
    t.equal(verdict.prefill, 1);
    t.equal(verdict.drift, null, 'the first one of a device drifts from nothing');
  });

for (const [latestMs, standingMs, drifts, factor] of [
  [11, 10, false, 1.1],
  [11.01, 10, true, 1.101],
  [9, 10, false, 0.9],
  [8.99, 10, true, 0.899],
  // Against its own last one, not against the reference.
  [13, 12, false, 1.3],
  [10, 12, true, 1],
] as const)
  t.test(`${latestMs} ms after ${standingMs} ms: ${drifts ? 'drifted' : 'corrected'}`, async (t) => {
    const verdict = judgeDrift(figures(latestMs), figures(10), figures(standingMs));
    t.equal(verdict.drift !== null, drifts, `${verdict.drift}`);
    t.ok(Math.abs(verdict.decode - factor) < 1e-9, `${verdict.decode}`);
  });

t.test('a drift of more than 10 % within the intervals is none', async (t) => {
  // Half widths 1.0 and 1.2 are 1.56 together.
  t.equal(judgeDrift(figures(11.5, 10), figures(10), figures(10, 10)).drift, null);
  t.match(judgeDrift(figures(11.6, 10), figures(10), figures(10, 10)).drift, /\+16\.0 %/);
});

t.test('prefill drifts as well, and both are told', async (t) => {
  const standing = figures(10);
  t.equal(
    judgeDrift(figures(10, 0, 80), standing, standing).drift,
    'prefill of the sentinel took 100.00 ms, then 80.00 ms (-20.0 %)',
  );
  const both = judgeDrift(figures(12, 0, 120), standing, standing);
  t.equal(
    both.drift,
    'decode of the sentinel took 10.00 ms, then 12.00 ms (+20.0 %), prefill of the sentinel took 100.00 ms, then 120.00 ms (+20.0 %)',
  );
  t.same([both.decode, both.prefill], [1.2, 1.2]);
});
