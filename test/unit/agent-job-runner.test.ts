import { createJobRunner, type MeasureOutcome } from '@fleetlora/agent/measure';
import { CodedError } from '@fleetlora/shared/errors';
import type { JobResult, MeasureJob, QualifyJob } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';

const jobOf = (number: number): MeasureJob => ({
  jobId: `job_${String(number).padStart(10, '0')}`,
  genome: 'g1:u:4.4.4.4.8/4.4.4.4.8',
  baseDigest: 'a'.repeat(64),
  adapterDigest: 'b'.repeat(64),
  plan: { promptTokens: 4, kvTokens: 4, prefillRepeats: 1, decodeRepeats: 1, threads: 1 },
  timeoutMs: 1000,
});
const qualifyOf = (number: number): QualifyJob => ({
  jobId: `job_${String(number).padStart(10, '0')}`,
  kind: 'qualify',
  runs: 2,
  pauseMs: 0,
  timeoutMs: 1000,
});
const infeasible: MeasureOutcome = { outcome: 'infeasible', reason: 'timing crashed with SIGSEGV' };

/** A runner whose measurements end when the test says so. */
function open(t: Test) {
  const running: { jobId: string; end: (outcome: MeasureOutcome | Error) => void }[] = [];
  const qualifying: string[] = [];
  const results: JobResult[] = [];
  const errors: string[] = [];
  let deliver: (result: JobResult) => Promise<void> = async (result) => void results.push(result);
  const runner = createJobRunner({
    measure: (job, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => resolve({ outcome: 'canceled', reason: 'canceled' }));
        running.push({
          jobId: job.jobId,
          end: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)),
        });
      }),
    qualify: (job, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve({ outcome: 'canceled', reason: 'canceled' }));
        qualifying.push(job.jobId);
      }),
    deliver: (result) => deliver(result),
    onError: (jobId) => void errors.push(jobId),
  });
  t.teardown(() => runner.stop());
  const turn = () => new Promise(setImmediate);
  return {
    runner,
    running,
    qualifying,
    results,
    errors,
    turn,
    failDelivery: () => {
      deliver = () => Promise.reject(new Error('disk full'));
    },
  };
}

t.test('one job at a time, each to one result', async (t) => {
  const { runner, running, results, turn } = open(t);
  runner.submit(jobOf(1));
  runner.submit(jobOf(2));
  t.equal(running.length, 1);
  t.same(runner.heldJobIds(), ['job_0000000001', 'job_0000000002']);
  running[0]?.end(infeasible);
  await turn();
  t.same(results, [{ jobId: 'job_0000000001', ...infeasible }]);
  t.equal(runner.runningJobId(), 'job_0000000002');
});

t.test('duplicates of a waiting, a running and a finished job change nothing', async (t) => {
  const { runner, running, results, turn } = open(t);
  for (const number of [1, 1, 2, 2]) runner.submit(jobOf(number));
  t.equal(runner.heldJobIds().length, 2);
  running[0]?.end(infeasible);
  await turn();
  runner.submit(jobOf(1));
  t.same(runner.heldJobIds(), ['job_0000000002']);
  t.equal(results.length, 1);
});

t.test('after a new connection a finished job is done again, a held one is not', async (t) => {
  const { runner, running, results, turn } = open(t);
  runner.submit(jobOf(1));
  running[0]?.end(infeasible);
  await turn();
  runner.submit(jobOf(2));
  runner.forgetFinished();
  for (const number of [1, 2]) runner.submit(jobOf(number));
  t.same(runner.heldJobIds(), ['job_0000000002', 'job_0000000001']);
  t.equal(results.length, 1);
});

t.test('eight jobs wait, the ninth is rejected', async (t) => {
  const { runner, results, turn } = open(t);
  for (let number = 1; number <= 9; number++) runner.submit(jobOf(number));
  t.equal(runner.heldJobIds().length, 9, 'one runs and eight wait');
  runner.submit(jobOf(10));
  await turn();
  t.match(results, [{ jobId: 'job_0000000010', outcome: 'rejected', reason: /8 jobs are waiting/ }]);
});

t.test('a running, a waiting and an unknown job are canceled', async (t) => {
  const { runner, results, turn } = open(t);
  runner.submit(jobOf(1));
  runner.submit(jobOf(2));
  runner.cancel('job_0000000002');
  runner.cancel('job_0000000001');
  runner.cancel('job_0000000003');
  await turn();
  t.same(
    results.map(({ jobId, outcome }) => [jobId, outcome]),
    [
      ['job_0000000002', 'canceled'],
      ['job_0000000001', 'canceled'],
    ],
  );
});

t.test('errors before a candidate is measured are failures', async (t) => {
  const { runner, running, results, turn } = open(t);
  runner.submit(jobOf(1));
  running[0]?.end(new CodedError('COORDINATOR_UNREACHABLE', 'gone'));
  await turn();
  runner.submit(jobOf(2));
  running[1]?.end(new CodedError('DIGEST_MISMATCH', 'other bytes'));
  await turn();
  runner.submit(jobOf(3));
  running[2]?.end(new Error('x'.repeat(5000)));
  await turn();
  t.same(
    results.map(({ outcome }) => outcome),
    ['failed', 'failed', 'failed'],
  );
  t.equal(results[2]?.outcome === 'failed' && results[2].reason.length, 4000, 'a reason fits its message');
});

t.test('a result that cannot be kept lets the job come again', async (t) => {
  const { runner, running, errors, turn, failDelivery } = open(t);
  failDelivery();
  runner.submit(jobOf(1));
  running[0]?.end(infeasible);
  await turn();
  t.same(errors, ['job_0000000001']);
  t.same(runner.heldJobIds(), []);
  runner.submit(jobOf(1));
  t.equal(running.length, 2);
});

t.test('a stopped runner gives no result, so the job is sent again', async (t) => {
  const { runner, results } = open(t);
  runner.submit(jobOf(1));
  await runner.stop();
  t.same(results, []);
  runner.submit(jobOf(2));
  t.same(runner.heldJobIds(), []);
});

t.test('a qualification is a job like others: one at a time, canceled, and without files', async (t) => {
  const { runner, running, qualifying, results, turn } = open(t);
  runner.submit(jobOf(1));
  runner.submit(qualifyOf(2));
  t.same(qualifying, []);
  t.same(runner.heldDigests(), ['a'.repeat(64), 'b'.repeat(64)]);
  running[0]?.end(infeasible);
  await turn();
  t.same(qualifying, ['job_0000000002']);
  t.same(runner.heldDigests(), []);
  runner.cancel('job_0000000002');
  await turn();
  t.same(results[1], { jobId: 'job_0000000002', outcome: 'canceled', reason: 'canceled' });
});
