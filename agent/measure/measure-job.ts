import { rm } from 'node:fs/promises';
import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { asDiskFull, isDiskFull, makeFolder } from '@fleetlora/shared/node';
import { type Beside, completePlan, type Measurement, type MemoryPass } from '@fleetlora/shared/protocol';
import type { Verdict } from './explain-child.js';
import { type InspectedCandidate, type InspectedTask, inspectTask } from './inspect-task.js';
import { createJobPasses, type JobPasses } from './job-passes.js';
import { judgeFlags } from './judge-flags.js';
import { layOutFiles } from './lay-out-files.js';
import { machineStateOf } from './machine-state.js';
import type { MeasureDoors, MeasureOutcome, MeasureTask, PassRequest } from './measure-task.js';
import { runMemoryPass } from './run-memory-pass.js';
import { type SteadyFigures, takeEnergy, takeSustained } from './steady-passes.js';
import { summarizeSessions, type TimedCandidate } from './summarize-sessions.js';
import { takeBeside } from './take-beside.js';
import { takeSessions } from './take-sessions.js';

/**
 * Measures a candidate, or a batch of one shape, on this device: a merged one is built first, then
 * come the timing sessions, those beside the sentinel, the memory of each candidate, and, where there is a sensor, its energy
 * and, where the plan wants it, a continuous run. Each in a process of its own, one after the other.
 *
 * How it ends is a value: `infeasible` when a process crashed, found no memory, or was killed for it;
 * `rejected` when candidates, plan and files do not fit together; `failed` for everything else. Of a
 * batch nobody can tell which candidate did it: the outcome is that of all.
 * @throws DISK_FULL when the scratch folder finds no space: it says nothing of the candidate, and
 *   the measurement can be begun again when there is some
 */
export async function measureJob(task: MeasureTask, doors: MeasureDoors): Promise<MeasureOutcome> {
  try {
    return await measureInspected(task, await inspectTask(task), doors);
  } catch (error) {
    if (task.signal?.aborted) return { outcome: 'canceled', reason: 'canceled' };
    if (isDiskFull(error)) throw await asDiskFull(error, { path: task.scratch });
    const fits = !(isCoded(error) && error.kind === 'input');
    return { outcome: fits ? 'failed' : 'rejected', reason: messageOf(error) };
  } finally {
    await rm(task.scratch, { recursive: true, force: true });
  }
}

async function measureInspected(
  task: MeasureTask,
  { candidates, vocab, positions }: InspectedTask,
  doors: MeasureDoors,
): Promise<MeasureOutcome> {
  const { machine } = doors;
  const passes = createJobPasses(task, doors);
  await makeFolder(task.scratch);
  const laid = await layOutFiles(task, candidates[0], passes);
  if ('outcome' in laid) return laid;
  const requestOf = ({ text }: InspectedCandidate): PassRequest => ({
    files: { ...laid.files, genome: text },
    plan: task.plan,
    positions,
    vocab,
  });

  const before = await machine.state();
  const batch = task.others?.length ? { others: task.others, seed: doors.random.below(2 ** 32) } : null;
  const taken = await takeSessions(requestOf(candidates[0]), batch, passes);
  if ('outcome' in taken) return taken;
  const after = await machine.state();
  const timed = summarizeSessions(
    taken.sessions.map(({ result }) => result),
    batch?.seed ?? 0,
  );
  const beside = await besideSentinel(task, requestOf(candidates[0]), passes);
  if (beside && 'outcome' in beside) return beside;
  const weights = await weighAll(candidates.map(requestOf), passes);
  if ('outcome' in weights) return weights;
  const steady = await runAllSteadily(candidates.map(requestOf), passes);
  if ('outcome' in steady) return steady;

  const state = machineStateOf(before, after, taken, passes.gates.waitedMs());
  const measurements = candidates.map(({ genome, unmergedBytes }, index): Measurement => {
    const { timing, batch: comparison, duplicateDiffers } = timed[index] as TimedCandidate;
    const { energy, sustained } = steady[index] as SteadyFigures;
    const doubts = {
      emulated: machine.emulated,
      machine: state,
      sessions: taken.sessions.length,
      hot: taken.sessions.some(({ began }) => began.hot),
      busy: taken.busy || steady.some(({ busy }) => busy),
      duplicateDiffers,
    };
    return {
      plan: task.plan,
      ...timing,
      ...(weights[index] as MemoryPass),
      shippedBytes: laid.shippedBytes ?? unmergedBytes,
      form: genome.form,
      machine: state,
      flags: judgeFlags(timing, doubts),
      ...(energy && { energy }),
      ...(sustained && { sustained }),
      ...(comparison && { batch: comparison }),
      ...(beside && index === 0 && { beside }),
    };
  });
  const [measurement, ...others] = measurements as [Measurement, ...Measurement[]];
  return { outcome: 'measured', measurement, ...(others.length > 0 && { others }) };
}

async function besideSentinel(
  { folder, base, sentinelBase = base, adapter, sentinel }: MeasureTask,
  request: PassRequest,
  passes: JobPasses,
): Promise<Beside | Verdict | null> {
  if (sentinel === undefined) return null;
  return takeBeside(request, { folder, base: sentinelBase, overlay: adapter, genome: sentinel }, passes);
}

/** Memory is each candidate's own: it holds the factors that a shared session has all of. */
async function weighAll(
  requests: readonly PassRequest[],
  passes: JobPasses,
): Promise<MemoryPass[] | Verdict> {
  const weights: MemoryPass[] = [];
  for (const [index, request] of requests.entries()) {
    passes.tell('weighing', index, requests.length);
    const weighed = passes.answerOf(
      await passes.run('weighing', (child) =>
        runMemoryPass(request, { ...child, entry: passes.entries.memory }),
      ),
      'weighing',
    );
    if ('outcome' in weighed) return weighed;
    weights.push(weighed);
  }
  return weights;
}

/** Energy of all before the continuous runs, which leave the machine warm. */
async function runAllSteadily(
  requests: readonly PassRequest[],
  passes: JobPasses,
): Promise<SteadyFigures[] | Verdict> {
  const figures = requests.map((): SteadyFigures => ({ busy: false }));
  const { machine } = passes.doors;
  const meter = passes.task.energy === 'leftOut' ? null : await machine.energyMeter();
  for (const [index, request] of requests.entries()) {
    if (!meter) break;
    const energy = await takeEnergy(request, meter, passes);
    if (energy && 'outcome' in energy) return energy;
    if (energy) figures[index] = { energy, busy: false };
  }
  const { sustainedSeconds } = completePlan(passes.task.plan);
  for (const [index, request] of requests.entries()) {
    if (sustainedSeconds === 0) break;
    const found = await takeSustained(request, sustainedSeconds, passes);
    if ('outcome' in found) return found;
    figures[index] = { ...figures[index], ...found };
  }
  return figures;
}
