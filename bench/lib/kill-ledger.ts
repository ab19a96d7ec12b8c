import type { AgentEvent } from './agent-events.js';
import type { JobRow, StoredRows, TrialRow } from './store-view.js';

/** What kills must not do, counted. */
export interface KillCounts {
  /** Results that the agent let go of, because the coordinator said it has them. */
  readonly acknowledged: number;
  /** Of these, and of what was once read from the store: what is not there any more. */
  readonly lost: number;
  /** Trials counted twice, results that took effect twice, candidates proposed twice. */
  readonly repeated: number;
  /** Trials that ended without a measurement though nothing was wrong but the kills. */
  readonly spoiled: number;
  /** Waits for a result, a training step or an end that did not come. */
  readonly stuck: number;
  /** Jobs measured once more, because the first result died with its process before it was safe. */
  readonly measuredAgain: number;
}

/** Compares what the store holds from look to look; findings belong to the stage they are made in. */
export interface KillLedger {
  /** From here on everything belongs to this stage. */
  begin(stage: string, firstEvent: number): void;
  /** Takes a look at a search that may be under way. */
  look(searchId: string, rows: StoredRows): void;
  /** Takes the last look at a search that is over. */
  close(searchId: string, rows: StoredRows): void;
  stick(text: string): void;
  repeat(text: string): void;
  /** Counts of a stage, once all searches are over. @param events all of the agent's */
  count(stage: string, events: readonly AgentEvent[]): KillCounts;
  /** What went wrong, in words, the first few. */
  readonly findings: readonly string[];
}

type Fault = 'lost' | 'repeated' | 'spoiled' | 'stuck';
interface Stage {
  readonly name: string;
  readonly firstEvent: number;
  readonly faults: Record<Fault, number>;
}

const MAX_FINDINGS = 20;

export function createKillLedger(): KillLedger {
  const last = new Map<string, StoredRows>();
  const findings: string[] = [];
  const stages: Stage[] = [];

  const find = (fault: Fault, text: string, stage = stages.at(-1)): void => {
    if (stage) stage.faults[fault]++;
    if (findings.length < MAX_FINDINGS) findings.push(`${stage?.name}, ${fault}: ${text}`);
  };
  function look(searchId: string, rows: StoredRows): void {
    const before = last.get(searchId);
    if (before) compareRows(before, rows, find);
    last.set(searchId, rows);
  }

  return {
    findings,
    begin(name, firstEvent) {
      stages.push({ name, firstEvent, faults: { lost: 0, repeated: 0, spoiled: 0, stuck: 0 } });
    },
    look,
    close(searchId, rows) {
      look(searchId, rows);
      checkEnded(rows, find);
    },
    stick: (text) => find('stuck', text),
    repeat: (text) => find('repeated', text),
    count(name, events) {
      const place = stages.findIndex((stage) => stage.name === name);
      const stage = stages[place] as Stage;
      const jobs = new Map([...last.values()].flatMap((rows) => rows.jobs.map((job) => [job.id, job])));
      const trials = new Map(
        [...last.values()].flatMap((rows) => rows.trials.map((trial) => [trial.id, trial])),
      );
      const before = events.slice(0, stage.firstEvent);
      const own = events.slice(stage.firstEvent, stages[place + 1]?.firstEvent);
      const acknowledged = new Set(jobsOf(own, 'acknowledged'));
      for (const jobId of acknowledged) {
        const job = jobs.get(jobId);
        if (!job || !isOver(job)) find('lost', `acknowledged result of job ${jobId}`, stage);
        else if (job.state === 'SUCCEEDED' && !hold(trials, job))
          find('lost', `acknowledged result of job ${jobId} in its trials`, stage);
      }
      const measuredBefore = new Set(jobsOf(before, 'measured'));
      let measuredAgain = 0;
      for (const jobId of jobsOf(own, 'measured')) {
        if (measuredBefore.has(jobId)) measuredAgain++;
        measuredBefore.add(jobId);
      }
      return { acknowledged: acknowledged.size, ...stage.faults, measuredAgain };
    },
  };
}

const jobsOf = (events: readonly AgentEvent[], wanted: AgentEvent['kind']): string[] =>
  events.filter(({ kind }) => kind === wanted).map(({ jobId }) => jobId);
const isOver = ({ endedAtMs }: JobRow): boolean => endedAtMs !== null;

/** What was final at the last look is what it was. */
function compareRows(before: StoredRows, now: StoredRows, find: (fault: Fault, text: string) => void): void {
  const jobs = new Map(now.jobs.map((job) => [job.id, job]));
  for (const job of before.jobs.filter(isOver)) {
    const found = jobs.get(job.id);
    if (!found || !isOver(found)) find('lost', `end of job ${job.id} (${job.state})`);
    else if (found.state !== job.state || found.endedAtMs !== job.endedAtMs || found.result !== job.result)
      find('repeated', `job ${job.id} ended as ${job.state}, and once more as ${found.state}`);
  }
  const trials = new Map(now.trials.map((trial) => [trial.id, trial]));
  for (const trial of before.trials) {
    const found = trials.get(trial.id);
    if (!found) find('lost', `trial ${trial.number}`);
    else if (trial.measurement !== null && found.measurement === null)
      find('lost', `measurement of trial ${trial.number}`);
    else if (trial.measurement !== null && found.measurement !== trial.measurement)
      find('repeated', `trial ${trial.number} has another measurement than before`);
    else if (trial.toldSequence !== null && found.toldSequence !== trial.toldSequence)
      find('repeated', `trial ${trial.number} was told twice`);
  }
}

/** A search that is over: each candidate measured once, events numbered without a gap. */
function checkEnded({ jobs, trials }: StoredRows, find: (fault: Fault, text: string) => void): void {
  for (const { number, state } of trials)
    if (state !== 'finished') find('spoiled', `trial ${number} ended as ${state}`);
  for (const count of repeatsOf(trials.map(({ genome }) => genome)))
    find('repeated', `a candidate was proposed ${count} times`);
  const sequences = trials.flatMap(({ askedSequence, toldSequence }) => [
    askedSequence,
    ...(toldSequence === null ? [] : [toldSequence]),
  ]);
  for (const count of repeatsOf(sequences)) find('repeated', `${count} events have one number`);
  if (Math.max(0, ...sequences) > new Set(sequences).size)
    find('lost', 'an event between campaign and strategy');
  const counted = jobs.filter(({ state }) => state === 'SUCCEEDED');
  for (const count of repeatsOf(counted.flatMap(({ trialIds }) => trialIds)))
    find('repeated', `a trial was measured and counted ${count} times`);
  const open = jobs.filter((job) => !isOver(job));
  if (open.length > 0) find('stuck', `${open.length} jobs have not ended with their search`);
}

/** Whether each trial of a job holds the measurement that its job brought; a sentinel's job has none. */
function hold(trials: ReadonlyMap<string, TrialRow>, { result, trialIds }: JobRow): boolean {
  const { measurement, others = [] } = JSON.parse(result ?? '{}') as {
    measurement?: unknown;
    others?: unknown[];
  };
  const brought = [measurement, ...others];
  return trialIds.every((trialId, place) => {
    const held = trials.get(trialId)?.measurement ?? null;
    return (
      held !== null && JSON.stringify(sorted(brought[place])) === JSON.stringify(sorted(JSON.parse(held)))
    );
  });
}

/** Without the order of keys, which a jsonb column does not keep. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => [key, sorted(entry)]),
  );
}

/** For each value that occurs more than once: how often. */
function repeatsOf(values: readonly unknown[]): number[] {
  const counts = new Map<unknown, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].filter((count) => count > 1);
}
