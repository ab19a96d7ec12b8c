import { renderComparison, renderMeasurement } from '@fleetlora/agent/cli';
import type { Batch, Measurement } from '@fleetlora/shared/protocol';
import t from 'tap';
import { calmMachine, makeMeasurement, steadyTiming } from '../lib/measurements.js';

const genome = `g1:u:${Array(8).fill('32.32.32.32.768').join('/')}`;
const measured = (changes: Partial<Measurement> = {}): Measurement =>
  makeMeasurement(2.5, {
    decode: { ...steadyTiming(2.5), p90Ms: 2.75, lowMs: 2.4, highMs: 2.6, spreadPercent: 3.21, outliers: 2 },
    prefill: {
      ...steadyTiming(25),
      n: 15,
      established: { p50: true, p90: false, p99: false },
      spreadPercent: 0.4,
    },
    ...changes,
  });

t.test('a measurement: figures with their intervals, and what to doubt', async (t) => {
  const lines = renderMeasurement(
    genome,
    measured({
      flags: ['busy', 'fewSessions'],
      machine: {
        ...calmMachine,
        temperatureStartC: 41,
        temperatureEndC: 47.5,
        governor: 'schedutil',
        onMains: false,
        otherCores: 0.5,
        waitedMs: { cooling: 61_000, quiet: 1500, serving: 0 },
        retakenSessions: 1,
      },
      energy: { source: 'rapl', joulesPerToken: 0.0123, watts: 4.56, tokens: 10, seconds: 5 },
      sustained: {
        seconds: 60.2,
        steps: 10,
        burstP50Ms: 2.5,
        sustainedP50Ms: 3,
        throttled: true,
        temperatureEndC: 70,
      },
    }),
  ).split('\n');
  const line = (name: string): string | undefined => lines.find((text) => text.startsWith(name));
  t.match(line('genome'), genome);
  t.match(line('first token, prompt 128'), '25.0 ms ± 0.0 %, p90 25.0 ms (not established), 15 samples');
  t.match(
    line('a token, cache 256'),
    '2.50 ms ± 4.0 %, p90 2.75 ms, 65 samples of 5 sessions within 3.2 %, 2 of them far off',
  );
  t.match(line('tokens a second'), '400');
  t.match(line('energy a token'), '12.3 mJ at 4.6 W (rapl)');
  t.match(line('sustained'), 'over 60 s: 2.50 ms → 3.00 ms (+20.0 %), throttled');
  t.match(
    line('machine'),
    '41 → 48 °C, on battery, governor schedutil, others had 0.50 cores, waited 1 m 01 s',
  );
  t.match(line('! busy'), 'other processes');
  t.ok(line('! fewSessions'));
});

t.test('a measurement of before 0.3, and a machine that tells nothing: no empty lines', async (t) => {
  const { machine: _m, flags: _f, form: _o, ...old } = measured();
  const bare = { p50Ms: 2.5, p90Ms: 2.75, n: 5, samplesMs: [2.5] };
  const text = renderMeasurement('g1:u:1.1.1.1.8', { ...old, prefill: bare, decode: bare });
  t.notMatch(text, /machine|energy|sustained|undefined|NaN|null/);
  t.match(text, /2\.50 ms, p90 2\.75 ms, 5 samples$/m);
  t.notMatch(renderMeasurement(genome, measured()), /machine|null/);
});

t.test('a comparison: each beside the first, and the duplicate', async (t) => {
  const none = { percent: 0, low: 0, high: 0 };
  const batch = (position: number, percent: number): Batch => ({
    size: 2,
    position,
    seed: 1,
    duplicate: {
      prefill: { percent: -0.04, low: -0.5, high: 0.6 },
      decode: { percent: 0.3, low: -0.2, high: 0.8 },
    },
    difference: {
      prefill: none,
      decode: { percent, low: percent - 0.5, high: percent + 0.5 },
    },
  });
  const text = renderComparison(
    [genome, genome.replaceAll('32', '16')],
    [measured({ batch: batch(0, 0) }), measured({ batch: batch(1, -12.34), shippedBytes: 600_000 })],
  );
  const [head, first, second, twin] = text.split('\n').slice(-4);
  t.match(head, /^candidate +first token +a token +peak +shipped$/);
  t.match(first, /^g1:u:32.32.32.32.768\/32.32.32.32.768\/32…/);
  t.notMatch(first, '%');
  t.match(second, /^g1:u:16/);
  t.match(second, '2.50 ms   −12.3 % (−12.8 to −11.8)');
  t.match(second, '600 KB');
  t.match(twin, /^its duplicate +0\.0 % \(−0\.5 to \+0\.6\) +\+0\.3 % \(−0\.2 to \+0\.8\)/);
  // Cells stand under the heads of their columns.
  t.equal(head?.indexOf('peak'), second?.indexOf('142'));
});
