import { findMismatch, type JobBody } from '@fleetlora/coordinator/fleet';
import type { JobResult, Measurement, MeasurePlan, Qualification } from '@fleetlora/shared/protocol';
import t from 'tap';
import { testFacts } from '../lib/test-device.js';
import { jobBody, measurement, openTestFleet, testQualification } from '../lib/test-fleet.js';

const jobId = 'job_00000000000000000000000001';
const OTHER = 'g1:u:4.4.4.4.100/4.4.4.4.100';
const difference = { percent: 1, low: 0.5, high: 1.5 };
const both = { prefill: difference, decode: difference };
/** One of a batch: its size and its position. */
const batched = (size: number, position: number): Measurement => ({
  ...measurement,
  batch: { size, position, seed: 1, duplicate: both, difference: both },
});
const measured = (first: Measurement, ...others: Measurement[]): JobResult => ({
  ...{ jobId, outcome: 'measured', measurement: first },
  ...(others.length > 0 && { others }),
});
const qualified = (change: Partial<Qualification> = {}): JobResult => ({
  jobId,
  outcome: 'qualified',
  qualification: { ...testQualification, ...change },
});
const batch: JobBody = { ...jobBody, others: [OTHER, OTHER] };
const qualify: JobBody = { kind: 'qualify', runs: 5, pauseMs: 0, timeoutMs: 10_000 };
const withPlan = (change: Partial<MeasurePlan>): Measurement => ({
  ...measurement,
  plan: { ...measurement.plan, ...change },
});
const run = (decodeMs: number) => ({ prefillMs: 40, decodeMs });

t.test('results that answer their job', async (t) => {
  const { sessions: _, provider: __, ...old } = measurement.plan;
  const merged = { ...jobBody, genome: jobBody.genome.replace(':u:', ':m:') };
  const fits: [string, JobBody, JobResult][] = [
    ['a measurement', jobBody, measured(measurement)],
    ['of the form', jobBody, measured({ ...measurement, form: 'unmerged' })],
    ['of the other form', merged, measured({ ...measurement, form: 'merged' })],
    ['of a plan of before 0.3', { ...jobBody, plan: old }, measured({ ...measurement, plan: old })],
    [
      'with what such a plan means written out',
      { ...jobBody, plan: old },
      measured(withPlan({ sessions: 2, provider: 'cpu', sustainedSeconds: 0 })),
    ],
    ['a batch of 3', batch, measured(batched(3, 0), batched(3, 1), batched(3, 2))],
    ['a qualification', qualify, qualified()],
    // 4.1 of a median of 81: the smallest and the largest are 80 and 84.1.
    [
      'a spread that its runs have',
      qualify,
      qualified({ spreadPercent: 5.1, accepted: false, runs: [80, 80.5, 81, 82, 84.1].map(run) }),
    ],
    ['a refusal of a batch', batch, { jobId, outcome: 'infeasible', reason: 'killed' }],
    ['a refusal to qualify', qualify, { jobId, outcome: 'failed', reason: 'no space' }],
  ];
  for (const [title, body, result] of fits) t.equal(findMismatch(body, result, testFacts), null, title);
});

const wrong: [JobBody, JobResult, RegExp][] = [
  [jobBody, measured(measurement, measurement), /measured 2 candidates, wanted 1/],
  [batch, measured(batched(3, 0), batched(3, 1)), /measured 2 candidates, wanted 3/],
  [
    jobBody,
    measured(withPlan({ kvTokens: 128 })),
    /^candidate 1 of 1 was measured with kvTokens 128, wanted 256/,
  ],
  [jobBody, measured(withPlan({ sessions: 4 })), /with sessions 4, wanted 5/],
  [jobBody, measured(withPlan({ sustainedSeconds: 10 })), /with sustainedSeconds 10, wanted 0/],
  [jobBody, measured({ ...measurement, provider: 'wasm' }), /with provider wasm, wanted cpu/],
  [jobBody, measured({ ...measurement, form: 'merged' }), /was measured merged, wanted it unmerged/],
  [jobBody, measured(batched(2, 0)), /as 1 of 2 in its batch/],
  [batch, measured(batched(3, 0), batched(3, 2), batched(3, 1)), /^candidate 2 of 3 was measured as 3 of 3/],
  [batch, measured(measurement, batched(3, 1), batched(3, 2)), /^candidate 1 of 3 was measured as 1 of 1/],
  [qualify, measured(measurement), /sent a measurement, wanted a qualification/],
  [jobBody, qualified(), /sent a qualification, wanted a measurement/],
  [qualify, qualified({ runs: [80, 80, 80, 80].map(run) }), /by 4 runs, wanted 5/],
  [qualify, qualified({ limitPercent: 20 }), /within 20 %, wanted 5 %/],
  [qualify, qualified({ agentVersion: '0.2.9' }), /as agent 0\.2\.9, .* wanted agent 0\.3\.0/],
  [qualify, qualified({ cpuModel: 'Cortex-A53' }), /Cortex-A53, wanted .*Cortex-A72/],
  // 6 of a median of 100.
  [
    qualify,
    qualified({ spreadPercent: 6, runs: [97, 99, 100, 101, 103].map(run) }),
    /calls a spread of 6 % accepted, wanted at most 5 %/,
  ],
  // From 6 / 103 = 5.8 to 6 / 97 = 6.2 %, and a tenth for rounding.
  [
    qualify,
    qualified({ spreadPercent: 1, runs: [97, 99, 100, 101, 103].map(run) }),
    /tells a spread of 1 %, its runs have 5\.7 to 6\.3 %/,
  ],
];
for (const [body, result, reason] of wrong)
  t.test(`a result that does not answer its job: ${reason.source}`, async (t) => {
    t.match(findMismatch(body, result, testFacts), reason);
  });

t.test(
  'a result of another plan fails its job, is acknowledged, and its candidate is not scored',
  async (t) => {
    const all = await openTestFleet(t);
    const a = await all.enrol('a');
    await all.birth(a, 1);
    const id = await all.submit(a);
    all.take();
    const body = { ...measured(withPlan({ threads: 4 })), jobId: id };
    await all.fleet.receive(a, 'result', { v: 1, id: 'out-1', session: 1, body });
    t.same(all.take(), [{ deviceId: a, kind: 'ack', body: { ids: ['out-1'] } }]);
    t.match(await all.fleet.forCampaign.jobsOfSearch('srch_0000000000'), [
      { end: { outcome: 'failed', reason: 'candidate 1 of 1 was measured with threads 4, wanted 1' } },
    ]);
  },
);

t.test('a batch ends with one measurement a candidate, in their order', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const trialIds = [1, 2, 3].map((number) => `trl_${String(number).padStart(26, '0')}`);
  const searchId = 'srch_0000000000';
  const id = await all.fleet.forCampaign.submit({
    ...{ kind: 'trial', searchId, trialIds, deviceId: a },
    body: { ...jobBody, others: [OTHER, OTHER] },
  });
  t.match(all.take(), [{ kind: 'job', body: { jobId: id, others: [OTHER, OTHER] } }]);
  const own = [0, 1, 2].map((position) => ({ ...batched(3, position), peakBytes: position + 10 }));
  const [first = measurement, ...others] = own;
  const body: JobResult = { jobId: id, outcome: 'measured', measurement: first, others };
  await all.fleet.receive(a, 'result', { v: 1, id: 'out-1', session: 1, body });
  t.match(await all.fleet.forCampaign.jobsOfSearch(searchId), [
    { trialIds, end: { outcome: 'measured', measurements: own } },
  ]);
});
