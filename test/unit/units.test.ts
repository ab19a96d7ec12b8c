import { formatBytes, formatSeconds, KiB, MiB } from '@fleetlora/shared/units';
import t from 'tap';

t.test('formatBytes: each unit just below and from where it starts', async (t) => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 KB'],
    [839_700, '840 KB'],
    [999_499, '999 KB'],
    [999_500, '1.0 MB'],
    [12_340_000, '12.3 MB'],
    [999_949_999, '999.9 MB'],
    [999_950_000, '1.00 GB'],
    [68_719_476_736, '68.72 GB'],
    [Number.NaN, '-'],
    [Number.POSITIVE_INFINITY, '-'],
  ];
  for (const [bytes, wanted] of cases) t.equal(formatBytes(bytes), wanted);
  t.equal(KiB, 1024);
  t.equal(MiB, 1_048_576);
});

t.test('formatSeconds: rounds first, so that no "60 s" or "60 m" appears', async (t) => {
  const cases: [number, string][] = [
    [-3, '0 s'],
    [0.4, '0 s'],
    [12, '12 s'],
    [59.4, '59 s'],
    [59.5, '1 m 00 s'],
    [200, '3 m 20 s'],
    [3599.4, '59 m 59 s'],
    [3599.5, '1 h 00 m'],
    [3840, '1 h 04 m'],
    [90_000, '25 h 00 m'],
    [Number.NaN, '-'],
    [Number.POSITIVE_INFINITY, '-'],
  ];
  for (const [seconds, wanted] of cases) t.equal(formatSeconds(seconds), wanted);
});
