import { readFile } from 'node:fs/promises';
import type { Device, MeasurePlan, Search, Training, Trial } from '@fleetlora/shared/protocol';
import t from 'tap';
import { findChildren } from '../lib/child-processes.js';
import { openHostAgent, openTinyCoordinator } from '../lib/tiny-coordinator.js';
import { tinyTraining } from '../lib/tiny-training.js';

t.setTimeout(300_000);
const skip = process.platform === 'linux' ? false : 'a machine is known by its boot id on Linux only';
const TRIALS = 6;
const plan: MeasurePlan = {
  promptTokens: 8,
  kvTokens: 8,
  prefillRepeats: 5,
  decodeRepeats: 50,
  threads: 1,
  sessions: 1,
};

/** Processor time that a process has used so far, in clock ticks. @source proc(5), /proc/PID/stat, fields 14 and 15 */
async function ticksOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** What the training had done at two or more moments within one job of a device. */
interface WatchedJob {
  readonly jobId: string;
  readonly steps: Set<number>;
  readonly firstTicks: number;
  lastTicks: number;
}

t.test(
  `a training and a search of ${TRIALS} trials on one machine with two agents: both get on, no step falls into a measurement`,
  { skip },
  async (t) => {
    const coordinator = await openTinyCoordinator(t);
    const { call } = coordinator;
    await openHostAgent(t, coordinator, 'first');
    await openHostAgent(t, coordinator, 'second');
    const online = async () => (await call<Device[]>('GET /v1/devices')).filter((device) => device.online);
    while ((await online()).length < 2) await new Promise(setImmediate);
    const bootIds = new Set((await online()).map(({ facts }) => facts.bootId));
    t.equal(bootIds.size, 1, 'one machine');

    // More steps than are ever made here.
    const training = await call<Training>('POST /v1/trainings', tinyTraining(1_000_000));
    const showTraining = () => call<Training>(`GET /v1/trainings/${training.id}`);
    while ((await showTraining()).step < 1) await new Promise(setImmediate);
    const [pid = 0] = await findChildren(process.pid, 'training-child.js');
    const ticksBefore = await ticksOf(pid);
    const search = await call<Search>('POST /v1/searches', {
      name: 'search',
      adapter: 'lora',
      dataset: 'rows',
      deviceClass: 'board',
      strategy: 'nsga2',
      quality: 'loss',
      costs: ['decodeMs'],
      trials: TRIALS,
      seed: 1,
      scoreRows: 8,
      finalRows: 0,
      finalPoints: 1,
      require: [],
      plan,
      maxTokens: 64,
    });

    const watched: WatchedJob[] = [];
    const reasons = new Set<string>();
    let atOnce = 0;
    const runningJob = async (): Promise<string | null> => {
      const jobs = (await online()).flatMap(({ runningJobId }) => runningJobId ?? []);
      atOnce = Math.max(atOnce, jobs.length);
      return jobs[0] ?? null;
    };
    let state: Search['state'] = 'running';
    for (let before = await runningJob(); state === 'running' || state === 'finalizing'; ) {
      const { step, waitReason } = await showTraining();
      const ticks = await ticksOf(pid);
      const after = await runningJob();
      // The job was with its device all the while between the two looks, and so the training stood.
      if (before !== null && before === after) {
        const last = watched.at(-1);
        if (last?.jobId === before) {
          last.steps.add(step);
          last.lastTicks = ticks;
        } else watched.push({ jobId: before, steps: new Set([step]), firstTicks: ticks, lastTicks: ticks });
        reasons.add(String(waitReason));
      }
      before = after;
      ({ state } = await call<Search>(`GET /v1/searches/${search.id}`));
    }

    t.equal(state, 'finished');
    const trials = await call<Trial[]>(`GET /v1/searches/${search.id}/trials`);
    t.ok(trials.every(({ measurement, score }) => measurement !== null && score !== null));
    t.equal(atOnce, 1, 'one measurement at a time on the machine');
    t.ok(watched.length >= TRIALS, `${watched.length} jobs were watched`);
    t.same(
      watched.filter(({ steps }) => steps.size !== 1).map(({ steps }) => [...steps]),
      [],
      'no step within a job',
    );
    t.same([...reasons], ['the machine measures']);
    const steps = watched.map((job) => Math.max(...job.steps));
    t.ok(
      steps.every((step, job) => job === 0 || step > (steps[job - 1] as number)),
      `the training got on between any two jobs: ${steps}`,
    );
    const ticksWithin = watched.reduce((sum, job) => sum + job.lastTicks - job.firstTicks, 0);
    const ticksInAll = (await ticksOf(pid)) - ticksBefore;
    // Beside the steps, which the training tells of itself: what the system counted.
    t.ok(
      ticksWithin <= ticksInAll / 20,
      `${ticksWithin} of ${ticksInAll} clock ticks of the training fell into jobs`,
    );

    t.match(await showTraining(), { state: 'running', error: null });
    await call(`POST /v1/trainings/${training.id}/stop`);
    while ((await showTraining()).state === 'running') await new Promise(setImmediate);
    t.match(await showTraining(), { state: 'stopped', error: null, waitReason: null });
  },
);
