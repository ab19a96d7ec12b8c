import {
  describeGenome,
  exitCodeOf,
  explainError,
  renderComparison,
  renderFront,
  renderTable,
  renderTrials,
  rowCounts,
  startProgress,
  waitFor,
  wantsColor,
} from '@fleetlora/coordinator/cli';
import { CodedError } from '@fleetlora/shared/errors';
import type { Front, Measurement, Score, Trial, TrialComparison } from '@fleetlora/shared/protocol';
import { defaultMeasurePlan } from '@fleetlora/shared/protocol';
import t from 'tap';
import { memoryContext } from '../lib/memory-context.js';

const score = (accuracy: number): Score => ({
  rows: 1000,
  correct: accuracy * 10,
  accuracy,
  accuracyLow: accuracy - 2.5,
  accuracyHigh: accuracy + 2.5,
  loss: 0.5,
});
const timing = (ms: number) => ({ p50Ms: ms, p90Ms: ms, n: 1, samplesMs: [ms] });
const measurement = (decodeMs: number): Measurement => ({
  plan: defaultMeasurePlan,
  runtime: 'r',
  provider: 'cpu',
  coldLoadMs: 1,
  warmLoadMs: 1,
  prefill: timing(20.04),
  decode: timing(decodeMs),
  baselineBytes: 1,
  peakBytes: 123_456_789,
  anonymousBytes: 1,
  shippedBytes: 1_234_567,
});
const trial = (
  number: number,
  label: string | null,
  genome: string,
  accuracy: number,
  decodeMs: number,
): Trial => ({
  id: `tri_000000000${number}`,
  number,
  label,
  genome,
  genomeDigest: 'a'.repeat(64),
  state: 'finished',
  deviceId: null,
  score: score(accuracy),
  finalScore: null,
  correction: null,
  measurement: measurement(decodeMs),
  reason: null,
});

t.test('a genome in words: one value, or a range with its mean over layers and groups', async (t) => {
  t.equal(describeGenome('g1:u:32.32.32.32.768/32.32.32.32.768'), 'r 32, w 768');
  // Ranks 4 4 4 4 and 32 32 32 32: mean 18; widths 384 and 768: mean 576.
  t.equal(describeGenome('g1:m:4.4.4.4.384/32.32.32.32.768'), 'r 4-32 (mean 18), w 384-768 (mean 576)');
  // Layers that are left out have neither ranks nor widths.
  t.equal(
    describeGenome('g2:u:q4:8.8.8.8.384.2/-/8.8.8.8.384/-'),
    'q4, r 8, w 384, kv 2 in 1 of 2 layers, without layers 1, 3',
  );
  t.equal(
    describeGenome('g2:u:fp32:8.8.8.8.384.1/8.8.8.8.384.2/-'),
    'r 8, w 384, kv 1-2 (mean 2), without layer 2',
  );
  t.equal(describeGenome('g2:u:q8:8.8.8.8.384'), 'q8, r 8, w 384');
});

t.test(
  'the front: best accuracy first, baselines below, units in the headings, an arrow at the chosen one',
  async (t) => {
    const max = trial(1, 'max', 'g1:u:32.32.32.32.768', 74, 3.456);
    const small = trial(9, null, 'g1:m:8.8.8.8.384', 73.2, 2);
    const front: Front = {
      searchId: 'sea_0000000001',
      state: 'finished',
      points: [small, max],
      baselines: [max],
      chosenTrialId: small.id,
      chosenReason: 'because',
      notices: [],
    };
    const lines = renderFront(memoryContext(), front).split('\n');
    t.match(lines[0], /accuracy % \[95 %\] .*ms\/token p50 +TTFT ms +peak MB +KB shipped +form/);
    t.match(
      lines[1],
      /^ +#1 = max unmerged +74\.0 \[71\.5, 76\.5\] +0\.500 +3\.46 +20\.0 +123\.5 +1235 +unmerged +r 32, w 768$/,
    );
    t.match(lines[2], /^→ +#9 +73\.2 \[70\.7, 75\.7\] +0\.500 +2\.00 .* merged +r 8, w 384$/);
    t.match(lines[3], /^ +max unmerged +74\.0/);
    t.equal(lines.length, 4);
    const noticed = renderFront(memoryContext(), { ...front, notices: ['Beware.', 'Of dogs.'] }).split('\n');
    t.same(noticed, [...lines, '', '! Beware.', '! Of dogs.']);
    t.equal(
      renderFront(memoryContext(), { ...front, points: [], baselines: [] }),
      'no trial is finished yet',
    );
  },
);

t.test('points of equal accuracy, such as none: the smaller loss comes first', async (t) => {
  const points = [0.9, 0.3, 0.6].map((loss, index) => {
    const point = trial(index + 1, null, 'g1:m:8.8.8.8.384', 0, 2);
    return { ...point, score: point.score && { ...point.score, loss } };
  });
  const front: Front = {
    searchId: 'sea_0000000001',
    state: 'finished',
    points,
    baselines: [],
    chosenTrialId: null,
    chosenReason: 'because',
    notices: [],
  };
  t.same(
    renderFront(memoryContext(), front)
      .split('\n')
      .slice(1)
      .map((line) => line.trim().slice(0, 2)),
    ['#2', '#3', '#1'],
  );
});

/** With intervals, flags, and what it was corrected by. */
function doubted(trial: Trial, flags: Measurement['flags'], decode = 1, prefill = 1): Trial {
  if (!trial.measurement) return trial;
  const { measurement } = trial;
  return {
    ...trial,
    measurement: {
      ...measurement,
      flags,
      decode: { ...measurement.decode, lowMs: 1.9, highMs: 2.04 },
      prefill: { ...measurement.prefill, lowMs: 19, highMs: 20.5 },
    },
    correction: { decode, prefill, sentinelJobId: 'job_0000000001' },
  };
}

t.test('times: ± the wider half of the interval, divided by the correction, which is told', async (t) => {
  const plain = trial(1, null, 'g1:u:8.8.8.8.384', 74, 2);
  const [head, ...lines] = renderTrials(memoryContext(), [
    doubted(plain, []),
    doubted(plain, ['busy', 'outliers'], 1.25, 1.25),
    doubted(plain, [], 0.5, 1),
    doubted(plain, [], 1.001, 0.999),
    { ...plain, state: 'infeasible', measurement: null, reason: 'killed' },
  ]).split('\n');
  t.match(head, /ms\/token p50 +TTFT ms +peak MB +KB shipped +flags +form/);
  t.match(lines[0], / 2\.00 ±0\.10 +20\.0 ±1\.0 .* 1235 +- +unmerged/);
  t.match(lines[1], / 1\.60 ±0\.08 +16\.0 ±0\.8 .* busy outliers ÷1\.25 +unmerged/);
  t.match(lines[2], / 4\.00 ±0\.20 +20\.0 ±1\.0 .* ÷0\.50\/1\.00 +unmerged/);
  t.match(lines[3], / 1235 +- +unmerged/, 'less than a percent is not told');
  t.match(lines[4], /infeasible .* - +- +- +- +- +unmerged .* killed$/);
});

t.test('flags that all measurements have are told once', async (t) => {
  const plain = trial(1, null, 'g1:u:8.8.8.8.384', 74, 2);
  const rows = [doubted(plain, ['emulated', 'busy']), doubted(plain, ['emulated'])];
  const lines = renderTrials(memoryContext(), rows).split('\n');
  t.match(lines[1], / busy +unmerged/);
  t.match(lines[2], / - +unmerged/);
  t.same(lines.slice(3), ['', '! all measurements are flagged emulated']);
  t.notMatch(renderTrials(memoryContext(), [doubted(plain, [])]), /flags/, 'no column of nothing');
  t.match(
    renderTrials(memoryContext(), [doubted(plain, ['hot'])]),
    / hot +unmerged/,
    'one alone shares nothing',
  );
});

t.test('a comparison: both rows, differences with their interval, and what is not told apart', async (t) => {
  const [a, b] = [trial(1, 'max', 'g1:u:8.8.8.8.384', 74, 2), trial(2, null, 'g1:u:4.8.8.8.384', 74, 2)];
  const comparison: TrialComparison = {
    a,
    b,
    paired: true,
    decode: { percent: -4.312, low: -4.618, high: -4.02 },
    prefill: { percent: 0.4, low: -0.2, high: 1.1 },
    peakBytesPercent: 0,
    shippedBytesPercent: 38.54,
    notices: ['Beware.'],
  };
  const lines = renderComparison(memoryContext(), comparison, ['s:max', 's:2']).split('\n');
  t.match(lines[1], /^s:max +74\.0/);
  t.match(lines[2], /^s:2 +74\.0/);
  t.same(lines.slice(3), [
    '',
    's:2 against s:max:',
    'ms/token  -4.31 % [-4.62, -4.02]',
    'TTFT      +0.40 % [-0.20, +1.10], not told apart',
    'peak      +0.00 %',
    'shipped   +38.54 %',
    'by        rounds of one batch',
    '',
    '! Beware.',
  ]);
  t.match(
    renderComparison(memoryContext(), { ...comparison, paired: false, notices: [] }, ['s:max', 's:2']),
    /by {8}medians of sessions$/,
  );
});

const split = (rows: number) => ({ digest: 'a'.repeat(64), rows });
for (const [splits, given, scoreRows, finalRows] of [
  // Of one split, halves while it is small.
  [{ all: split(3083) }, {}, 200, 1000],
  [{ all: split(1200) }, {}, 200, 1000],
  [{ all: split(1199) }, {}, 200, 999],
  [{ all: split(400) }, {}, 200, 200],
  [{ all: split(399) }, {}, 200, 199],
  [{ all: split(81) }, {}, 41, 40],
  [{ all: split(1) }, {}, 1, 0],
  [{ test: split(80), train: split(9000) }, {}, 40, 40],
  [{ all: split(80) }, { finalRows: 0 }, 80, 0],
  [{ all: split(80) }, { finalRows: 10 }, 70, 10],
  [{ all: split(80) }, { scoreRows: 10 }, 10, 70],
  [{ all: split(80) }, { scoreRows: 100 }, 100, 0],
  // Of two splits, each as much as there is.
  [{ validation: split(40), test: split(50) }, {}, 40, 50],
  [{ validation: split(201), test: split(1001) }, {}, 200, 1000],
  [{ validation: split(40), test: split(50) }, { scoreRows: 7, finalRows: 8 }, 7, 8],
  [{ validation: split(40), train: split(9000) }, {}, 20, 20],
] as const)
  t.test(
    `rows that are scored of ${JSON.stringify(splits).replaceAll(/"digest":"a+",/g, '')} and ${JSON.stringify(given)}`,
    async (t) => {
      t.same(rowCounts({ splits }, given), { scoreRows, finalRows });
    },
  );

t.test('a table shows "-" for what is not known and says when it is empty', async (t) => {
  const columns = [{ title: 'x ms', align: 'right' as const, value: (row: number | null) => row }];
  t.equal(renderTable(memoryContext(), columns, [5, null, 1234], 'none'), 'x ms\n   5\n   -\n1234');
  t.equal(renderTable(memoryContext(), columns, [], 'none'), 'none');
});

t.test('an error is one line: code, message, what to do', async (t) => {
  t.equal(
    explainError(new CodedError('DEVICE_OFFLINE', 'board 7\nis away')),
    'fleetlora: DEVICE_OFFLINE: board 7 is away. To do: `fleetlora devices` shows who is connected',
  );
  t.equal(explainError(new CodedError('STATE_CONFLICT', 'no')), 'fleetlora: STATE_CONFLICT: no');
  t.equal(explainError(new TypeError('oops')), 'fleetlora: BUG: oops');
  t.equal(exitCodeOf(new CodedError('BAD_USAGE', '')), 2);
  t.equal(exitCodeOf(new CodedError('NOT_FOUND', '')), 1);
  t.equal(exitCodeOf(new TypeError()), 1);
});

t.test('colours: on a terminal only, NO_COLOR turns them off, FORCE_COLOR on', async (t) => {
  const terminal = { isTTY: true, write: () => true };
  const pipe = { write: () => true };
  t.equal(wantsColor(terminal, {}), true);
  t.equal(wantsColor(pipe, {}), false);
  t.equal(wantsColor(terminal, { NO_COLOR: '1' }), false);
  t.equal(wantsColor(terminal, { TERM: 'dumb' }), false);
  t.equal(wantsColor(pipe, { FORCE_COLOR: '1' }), true);
  t.equal(wantsColor(pipe, { FORCE_COLOR: '1', NO_COLOR: '1' }), false);
});

t.test('progress without a terminal: plain lines, the last one with the time it took', async (t) => {
  const context = memoryContext();
  const progress = startProgress(context, {
    title: 'copy',
    total: 3,
    unit: 'files',
    lineEveryMs: 0,
  });
  progress.update(1, 'going');
  progress.finish();
  progress.update(2);
  progress.abandon();
  t.equal(context.err(), 'copy: 1 of 3 files, going\ncopy: 3 files, done in 0 s\n');
  t.equal(context.out(), '', 'stdout is for data');
});

t.test('progress that is abandoned says nothing more; lines keep their distance', async (t) => {
  const context = memoryContext();
  const progress = startProgress(context, { title: 'copy', total: 3, lineEveryMs: 60_000 });
  progress.update(1);
  progress.abandon();
  progress.finish();
  t.equal(context.err(), '');
});

t.test('waiting rides out an outage, but no other error', async (t) => {
  const answers: (number | Error)[] = [
    1,
    new CodedError('COORDINATOR_UNREACHABLE', 'gone'),
    2,
    new CodedError('STORE_UNAVAILABLE', 'its database is away'),
    3,
  ];
  const read = async (): Promise<number> => {
    const next = answers.shift();
    if (typeof next === 'number') return next;
    throw next;
  };
  const seen: number[] = [];
  const options = {
    signal: new AbortController().signal,
    everyMs: 0,
    onAnswer: (value: number) => seen.push(value),
  };
  t.equal(await waitFor(read, (value) => value === 3, options), 3);
  t.strictSame(seen, [1, 2, 3]);
  answers.push(new CodedError('NOT_FOUND', 'none'));
  await t.rejects(
    waitFor(read, () => true, options),
    { code: 'NOT_FOUND' },
  );
});

t.test('waiting ends when aborted', async (t) => {
  const stop = new AbortController();
  const waiting = waitFor(
    async () => stop.abort(),
    () => false,
    { signal: stop.signal, everyMs: 60_000 },
  );
  await t.rejects(waiting, { name: 'AbortError' });
});
