import { createAgentEvents } from '@fleetlora/bench/lib/agent-events';
import { createKillLedger } from '@fleetlora/bench/lib/kill-ledger';
import type { JobRow, StoredRows, TrialRow } from '@fleetlora/bench/lib/store-view';
import t from 'tap';

const measured = JSON.stringify({ outcome: 'measured', measurement: { decode: 1, prefill: 2 } });
const job = (number: number, change: Partial<JobRow> = {}): JobRow => ({
  id: `job_${number}`,
  trialIds: [`trl_${number}`],
  state: 'SUCCEEDED',
  sends: 1,
  endedAtMs: 5,
  result: measured,
  ...change,
});
const trial = (number: number, change: Partial<TrialRow> = {}): TrialRow => ({
  id: `trl_${number}`,
  number,
  genome: `genome ${number}`,
  state: 'finished',
  // Another order of keys is the same measurement.
  measurement: '{"prefill":2,"decode":1}',
  askedSequence: 2 * number - 1,
  toldSequence: 2 * number,
  ...change,
});
const rows = (jobs: JobRow[], trials: TrialRow[]): StoredRows => ({ jobs, trials });
const whole = rows([job(1), job(2)], [trial(1), trial(2)]);
const open = { state: 'QUEUED', endedAtMs: null, result: null } as const;
const line = (msg: string, jobId: string): string =>
  JSON.stringify({ level: 20, time: '2026-01-01T00:00:00.000Z', msg, jobId, outcome: 'measured' });
const acknowledged = 'the coordinator has a message of ours';

/** Counts of two looks of one stage, in which the agent had its results acknowledged. */
function countOf(before: StoredRows, after: StoredRows, ids = ['job_1', 'job_2']) {
  const events = createAgentEvents();
  const ledger = createKillLedger();
  ledger.begin('stage', 0);
  ledger.look('search', before);
  ledger.close('search', after);
  for (const id of ids) events.read(line(acknowledged, id));
  return { ...ledger.count('stage', events.all), findings: ledger.findings };
}
const clean = { acknowledged: 2, lost: 0, repeated: 0, spoiled: 0, stuck: 0, measuredAgain: 0 };

t.test('nothing is found where nothing is wrong', async (t) => {
  const waiting = rows(
    [job(1), job(2, open)],
    [trial(1), trial(2, { state: 'pending', toldSequence: null })],
  );
  t.same(countOf(waiting, whole), { ...clean, findings: [] });
});

for (const [name, after, fault] of [
  ['the end of a job is gone', rows([job(1), job(2, open)], [trial(1), trial(2)]), 'lost'],
  ['a job is gone', rows([job(1)], [trial(1), trial(2)]), 'lost'],
  ['a trial is gone', rows([job(1), job(2)], [trial(1)]), 'lost'],
  [
    'a measurement is gone',
    rows(whole.jobs as JobRow[], [trial(1), trial(2, { measurement: null })]),
    'lost',
  ],
  ['a job ended again', rows([job(1), job(2, { endedAtMs: 6 })], [trial(1), trial(2)]), 'repeated'],
  [
    'another measurement',
    rows(whole.jobs as JobRow[], [trial(1), trial(2, { measurement: '{}' })]),
    'repeated',
  ],
  ['told again', rows(whole.jobs as JobRow[], [trial(1), trial(2, { toldSequence: 5 })]), 'repeated'],
  [
    'counted twice',
    rows([job(1), job(2), job(3, { trialIds: ['trl_1'] })], [trial(1), trial(2)]),
    'repeated',
  ],
  [
    'a candidate twice',
    rows(whole.jobs as JobRow[], [trial(1), trial(2), trial(3, { genome: 'genome 1' })]),
    'repeated',
  ],
  [
    'two events of one number',
    rows(whole.jobs as JobRow[], [trial(1), trial(2), trial(3, { askedSequence: 1, toldSequence: 5 })]),
    'repeated',
  ],
  ['an event is missing', rows(whole.jobs as JobRow[], [trial(1), trial(2), trial(4)]), 'lost'],
  [
    'a trial failed',
    rows(whole.jobs as JobRow[], [trial(1), trial(2), trial(3, { state: 'failed' })]),
    'spoiled',
  ],
  ['a job stays open', rows([job(1), job(2), job(3, open)], [trial(1), trial(2), trial(3)]), 'stuck'],
] as const)
  t.test(`${name}: ${fault}`, async (t) => {
    const found = countOf(whole, after);
    t.ok(found[fault] > 0, found.findings.join('; '));
    t.match(found.findings[0], new RegExp(`^stage, ${fault}: `));
  });

const batch = { outcome: 'measured', measurement: { decode: 1 }, others: [{ decode: 2 }, { decode: 3 }] };
const ofBatch = job(1, { trialIds: ['trl_1', 'trl_2', 'trl_3'], result: JSON.stringify(batch) });
const inBatch = (...figures: number[]): TrialRow[] =>
  figures.map((decode, place) => trial(place + 1, { measurement: JSON.stringify({ decode }) }));
const sentinel = job(2, { trialIds: [] });

t.test(
  'a batch and a sentinel: each trial holds its own measurement, the sentinel belongs to none',
  async (t) => {
    const right = rows([ofBatch, sentinel], inBatch(1, 2, 3));
    t.same(countOf(right, right), { ...clean, findings: [] });
  },
);

for (const [name, trials, jobs, fault] of [
  ['two of a batch are exchanged', inBatch(1, 3, 2), [ofBatch], 'lost'],
  [
    'one of a batch has nothing',
    [...inBatch(1, 2), trial(3, { measurement: null, state: 'finished' })],
    [ofBatch],
    'lost',
  ],
  [
    'one of a batch was measured alone as well',
    inBatch(1, 2, 3),
    [ofBatch, job(2, { trialIds: ['trl_3'] })],
    'repeated',
  ],
] as const)
  t.test(`${name}: ${fault}`, async (t) => {
    const found = countOf(rows([...jobs], [...trials]), rows([...jobs], [...trials]), ['job_1']);
    t.ok(found[fault] > 0, found.findings.join('; '));
  });

t.test('a result that was acknowledged and never stored is lost', async (t) => {
  t.match(countOf(whole, whole, ['job_1', 'job_2', 'job_9']), { acknowledged: 3, lost: 1 });
});

t.test('faults, acknowledgements and repeated measurements belong to the stage they fell into', async (t) => {
  const events = createAgentEvents();
  const ledger = createKillLedger();
  ledger.begin('first', 0);
  for (const text of [line('a candidate was measured', 'job_1'), line(acknowledged, 'job_1'), '{"cut'])
    events.read(text);
  ledger.look('search', whole);
  ledger.begin('second', events.all.length);
  for (const text of ['job_1', 'job_2'].map((id) => line('a candidate was measured', id))) events.read(text);
  events.read(line(acknowledged, 'job_2'));
  ledger.stick('no result');
  ledger.close('search', whole);
  t.same(ledger.count('first', events.all), { ...clean, acknowledged: 1 });
  t.same(ledger.count('second', events.all), { ...clean, acknowledged: 1, stuck: 1, measuredAgain: 1 });
});
