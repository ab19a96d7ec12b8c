import {
  createWorkBudget,
  disturbancesOf,
  judgeFlags,
  machineStateOf,
  type SessionResult,
  type SessionSamples,
  summarizeSessions,
  type TakenSession,
} from '@fleetlora/agent/measure';
import type { MachineState } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';
import { createManualClock } from '../lib/manual-clock.js';

const session = (changes: Partial<SessionResult> = {}): SessionResult => ({
  runtime: 'onnxruntime-node 1',
  provider: 'cpu',
  coldLoadMs: 100,
  warmLoadMs: null,
  prefillMs: [30, 31],
  decodeMs: [4, 6, 5],
  shared: [],
  ...changes,
});

t.test('alone: all samples in the order of the sessions, the median of the cold loads', (t) => {
  const sessions = [
    session({ coldLoadMs: 130.00004, warmLoadMs: 40 }),
    session({ coldLoadMs: 100, decodeMs: [7, 9, 8] }),
    session({ coldLoadMs: 110, decodeMs: [5, 5, 5] }),
  ];
  const [only, ...others] = summarizeSessions(sessions, 1) as [ReturnType<typeof summarizeSessions>[0]];
  t.same(others, []);
  t.notOk(only.batch);
  t.equal(only.duplicateDiffers, false);
  const { decode, prefill, ...loads } = only.timing;
  t.same(loads, {
    runtime: 'onnxruntime-node 1',
    provider: 'cpu',
    coldLoadMs: 110,
    warmLoadMs: 40,
    coldLoadsMs: [130, 100, 110],
  });
  t.same(decode.samplesMs, [4, 6, 5, 7, 9, 8, 5, 5, 5]);
  t.same(
    [decode.sessionSizes, decode.sessionMediansMs],
    [
      [3, 3, 3],
      [5, 8, 5],
    ],
  );
  // Ascending 4 5 5 5 5 6 7 8 9: the fifth is the median. Spread (8 - 5) / 5.
  t.same([decode.p50Ms, decode.spreadPercent, decode.offsetMs], [5, 60, 0]);
  t.equal(prefill.n, 6);
  t.end();
});

/** Samples of entrant k are those of entrant 0 with `more[k]` on each. */
const sharedOf = (base: SessionSamples, more: readonly number[]): SessionSamples[] =>
  more.map((ms) => ({
    prefillMs: base.prefillMs.map((sample) => sample + 10 * ms),
    decodeMs: base.decodeMs.map((sample) => sample + ms),
  }));

t.test('a batch of 3: figures stand on the first one, differences are paired [offset -1 ms]', (t) => {
  const random = createRandom(3);
  const noise = (count: number, ms: number) => Array.from({ length: count }, () => ms + random.next() * 0.02);
  const sessions = [0, 1, 2, 3, 4].map((index) => {
    // The shared session is 1 ms (prompt 10 ms) slower, and each session has a bias of its own.
    const bias = index * 0.4;
    const base = { prefillMs: noise(4, 60 + bias), decodeMs: noise(13, 11 + bias) };
    return session({
      prefillMs: noise(4, 50 + bias),
      decodeMs: noise(13, 10 + bias),
      shared: sharedOf(base, [0, 0.3, -0.2, 0]),
    });
  });
  const found = summarizeSessions(sessions, 9);
  t.equal(found.length, 3);
  const [first, slower, faster] = found as [(typeof found)[0], (typeof found)[0], (typeof found)[0]];
  t.same([first.batch?.size, first.batch?.position, first.batch?.seed], [3, 0, 9]);
  t.same([slower.batch?.position, faster.batch?.position], [1, 2]);
  // Noise of 0.02 ms in both: the offset is -1 within that.
  t.ok(Math.abs((slower.timing.decode.offsetMs as number) + 1) < 0.03, `${slower.timing.decode.offsetMs}`);
  t.ok(Math.abs((slower.timing.prefill.offsetMs as number) + 10) < 0.03);
  t.ok(Math.abs(slower.timing.decode.p50Ms - first.timing.decode.p50Ms - 0.3) < 0.001);
  t.ok(Math.abs(faster.timing.prefill.p50Ms - first.timing.prefill.p50Ms + 2) < 0.001);
  // Raw samples are told as they were, without the offset.
  t.equal(slower.timing.decode.samplesMs.length, 65);
  t.ok(Math.min(...slower.timing.decode.samplesMs) > 11.29);
  // 0.3 of shared medians of 11, 11.4 ... 12.6: shares of 2.73 to 2.38 %, of which the mean is known to
  // ± 0.17 %. Noise is the same in both of a pair.
  const { percent, low, high } = slower.batch?.difference.decode ?? { percent: 0, low: 1, high: -1 };
  t.ok(Math.abs(percent - 30 / 11.81) < 0.02, `${percent}`);
  t.ok(low > 2.35 && low < 2.39 && high > 2.7 && high < 2.74, `${low} ${high}`);
  t.same(first.batch?.difference.decode, { percent: 0, low: 0, high: 0 });
  t.same(first.batch?.duplicate.decode, { percent: 0, low: 0, high: 0 });
  t.equal(first.duplicateDiffers, false);
  t.equal(first.batch?.sharedSamplesMs?.decode.length, 65);
  t.same(
    first.batch?.sharedSamplesMs?.prefill.slice(0, 4),
    sessions[0]?.shared[0]?.prefillMs.map((ms) => Math.round(ms * 1e4) / 1e4),
  );
  t.notOk(slower.batch?.sharedSamplesMs);
  t.same(slower.timing.coldLoadsMs, first.timing.coldLoadsMs);
  t.end();
});

t.test('a duplicate that is told apart in either quantity is said of every candidate', (t) => {
  const random = createRandom(5);
  const samples = (count: number, ms: number): number[] =>
    Array.from({ length: count }, () => ms + random.normal() * 0.1);
  const found = (decodeMore: number, prefillMore: number) =>
    summarizeSessions(
      [0, 1, 2, 3, 4].map(() =>
        session({
          shared: [0, 1, 2].map((entrant) => ({
            prefillMs: samples(3, 40 + (entrant === 2 ? prefillMore : 0)),
            decodeMs: samples(13, 10 + (entrant === 2 ? decodeMore : 0)),
          })),
        }),
      ),
      1,
    ).map(({ duplicateDiffers }) => duplicateDiffers);
  t.same(found(0, 0), [false, false]);
  t.same(found(0.2, 0), [true, true]);
  t.same(found(0, -0.5), [true, true]);
  t.end();
});

const calm: MachineState = {
  temperatureStartC: 40,
  temperatureEndC: 45,
  throttled: false,
  onMains: true,
  governor: 'performance',
  otherCores: 0.1,
  waitedMs: { cooling: 0, quiet: 0, serving: 0 },
  retakenSessions: 0,
};
const timing = (n: number, outliers: number) => ({ p50Ms: 1, p90Ms: 1, n, samplesMs: [1], outliers });

t.test('flags: each for its own reason, just inside and just outside', (t) => {
  const doubts = {
    emulated: false,
    machine: calm,
    sessions: 5,
    hot: false,
    busy: false,
    duplicateDiffers: false,
  };
  const figures = { prefill: timing(20, 0), decode: timing(80, 20) };
  const of = (changes: object, measured = figures) => judgeFlags(measured, { ...doubts, ...changes });
  t.same(of({}), []);
  t.same(of({ sessions: 4 }), ['fewSessions']);
  t.same(
    of({}, { prefill: timing(20, 1), decode: timing(80, 20) }),
    ['outliers'],
    '21 of 100; 20 are not many',
  );
  t.same(of({ machine: { ...calm, onMains: false } }), ['onBattery']);
  t.same(of({ machine: { ...calm, onMains: null, throttled: null } }), []);
  t.same(of({ machine: { ...calm, throttled: true } }), ['throttled']);
  t.same(of({ emulated: true, hot: true, busy: true, duplicateDiffers: true }), [
    'emulated',
    'hot',
    'busy',
    'duplicateDiffers',
  ]);
  t.end();
});

const taken = (changes: Partial<TakenSession> = {}): TakenSession => ({
  result: session(),
  began: { hot: false, others: 'quiet' },
  seen: { throttled: false, otherCores: 0.1, busy: false },
  served: false,
  tookMs: 1000,
  ...changes,
});

t.test('machine: null where nobody can tell, the worse where sessions differ, cores by their time', (t) => {
  const reading = { temperatureC: 41, onMains: true, governor: 'schedutil' };
  const waitedMs = { cooling: 5, quiet: 300, serving: 0 };
  const of = (sessions: TakenSession[], after = reading) =>
    machineStateOf(reading, after, { sessions, retaken: 1, busy: false }, waitedMs);
  const seen = (throttled: boolean | null, otherCores: number | null) => ({
    throttled,
    otherCores,
    busy: false,
  });
  t.same(of([taken()], { ...reading, temperatureC: 55 }), {
    temperatureStartC: 41,
    temperatureEndC: 55,
    throttled: false,
    onMains: true,
    governor: 'schedutil',
    otherCores: 0.1,
    waitedMs,
    retakenSessions: 1,
  });
  // 0.2 for 3 s and 1 for 1 s; the third could not tell.
  const mixed = of([
    taken({ seen: seen(null, 0.2), tookMs: 3000 }),
    taken({ seen: seen(true, 1), tookMs: 1000 }),
    taken({ seen: seen(false, null), tookMs: 9000 }),
  ]);
  t.same([mixed.otherCores, mixed.throttled], [0.4, true]);
  const unknown = of([taken({ seen: seen(null, null) })]);
  t.same([unknown.otherCores, unknown.throttled], [null, null]);
  t.equal(of([taken()], { ...reading, onMains: false }).onMains, false, 'unplugged meanwhile');
  t.end();
});

t.test('a pass is disturbed by what came while it ran, not by what was so at the gate', (t) => {
  const of = (changes: Partial<TakenSession>) => disturbancesOf({ ...taken(changes), cutShort: false });
  const throttled = { throttled: true, otherCores: 0.1, busy: false };
  const busy = { throttled: false, otherCores: 1.234, busy: true };
  t.same(of({}), []);
  t.same(of({ served: true }), ['completions were served']);
  t.same(of({ seen: throttled }), ['the processor was throttled']);
  t.same(of({ seen: throttled, began: { hot: true, others: 'quiet' } }), []);
  t.same(of({ seen: busy }), ['other processes kept 1.23 cores busy']);
  t.same(of({ seen: busy, began: { hot: false, others: 'busy' } }), []);
  t.same(of({ seen: busy, began: { hot: false, others: 'unknown' } }), [], 'the gate is open');
  t.end();
});

t.test('the budget of a job counts work alone, also work that throws [1000 ms]', async (t) => {
  const clock = createManualClock();
  const budget = createWorkBudget(clock, 1000);
  clock.advance(5000);
  t.equal(budget.leftMs(), 1000, 'waiting costs nothing');
  await budget.spend(async () => clock.advance(300));
  t.equal(budget.leftMs(), 700);
  await t.rejects(
    budget.spend(async () => {
      clock.advance(800);
      throw new Error('gone');
    }),
  );
  t.equal(budget.leftMs(), 1, 'a child is started and found late');
});
