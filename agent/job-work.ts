import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import type { Patience } from '@fleetlora/shared/node';
import {
  type DeviceFacts,
  digestsOf,
  type JobStep,
  type MeasureJob,
  type QualifyJob,
} from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import type { Artifacts } from './artifacts/index.js';
import type { DataFolder } from './folder/index.js';
import type { Machine } from './host/index.js';
import { createHeartbeat, type Link } from './link/index.js';
import type { Log } from './log.js';
import {
  type JobRunnerDoors,
  type MeasureDoors,
  type MeasureTask,
  measureJob,
  type ServingActivity,
} from './measure/index.js';
import { type PolicyWatch, underPolicy } from './policy/index.js';
import { keepQualification, qualifyDevice } from './qualify/index.js';

export interface JobWorkDoors {
  readonly clock: Clock;
  readonly random: Random;
  readonly machine: Machine;
  readonly activity: ServingActivity;
  readonly patience: Patience;
  readonly artifacts: Artifacts;
  readonly folder: DataFolder;
  /** Holds the files that jobs name by digest. */
  readonly contentFolder: string;
  readonly facts: DeviceFacts;
  readonly policy: () => PolicyWatch;
  readonly link: () => Pick<Link, 'tellProgress'>;
  /** Work that installs nothing meanwhile. */
  readonly takeTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Told of the base a job was measured on, once its files are here. */
  readonly onBase: (digest: string) => Promise<void>;
  readonly log: Log;
}

/** What this agent does for a job: its turn, its files, its policies, its heartbeat, the measurement. */
export function createJobWork(doors: JobWorkDoors): Pick<JobRunnerDoors, 'measure' | 'qualify'> {
  const { clock, random, machine, activity, patience, artifacts, folder, log } = doors;

  /** Runs a job's work when its turn comes; all the time the coordinator hears what is done for it. */
  const inTurn = async <O extends { readonly outcome: string }>(
    jobId: string,
    done: string,
    work: (tell: MeasureDoors['onProgress'] & object) => Promise<O>,
  ): Promise<O> => {
    const heartbeat = createHeartbeat((progress) => doors.link().tellProgress(progress));
    const tell = (step: JobStep, count?: number, of?: number): void =>
      heartbeat.beat({
        jobId,
        step,
        ...(count !== undefined && { done: count }),
        ...(of !== undefined && { of }),
      });
    try {
      tell('waiting');
      const outcome = await doors.takeTurn(() => work(tell));
      if (outcome.outcome === 'postponed') log.info({ jobId, ...outcome }, 'a job was postponed');
      else log.info({ jobId, outcome: outcome.outcome }, done);
      return outcome;
    } finally {
      heartbeat.end();
    }
  };

  const measureDoors = (jobId: string, onProgress: MeasureDoors['onProgress']): MeasureDoors => ({
    clock,
    random,
    machine,
    activity,
    onProgress,
    onKilled: (step, killer) =>
      log.warn({ jobId, step, killer }, 'a measuring process was killed; it is run again'),
    onDisturbed: (session, reasons) =>
      log.info({ jobId, session, reasons }, 'a disturbed session was thrown away; it is taken anew'),
  });

  return {
    measure: (job: MeasureJob, signal) =>
      inTurn(job.jobId, 'a candidate was measured', (tell) => {
        const { jobId, genome, others, sentinel, plan, timeoutMs } = job;
        const { baseDigest, sentinelBaseDigest, adapterDigest } = job;
        const task: Omit<MeasureTask, 'signal'> = {
          folder: doors.contentFolder,
          base: baseDigest,
          adapter: adapterDigest,
          baseDigest,
          adapterDigest,
          genome,
          others,
          sentinel,
          sentinelBase: sentinelBaseDigest,
          plan,
          timeoutMs,
          scratch: join(folder.scratch, jobId),
        };
        return underPolicy(doors.policy(), signal, {
          async fetch(signal) {
            tell('fetching');
            for (const digest of digestsOf(job)) await artifacts.ensure(digest, { signal });
            await doors.onBase(baseDigest);
          },
          measure: (signal) =>
            patience.run(() => measureJob({ ...task, signal }, measureDoors(jobId, tell)), signal),
        });
      }),

    qualify: (job: QualifyJob, signal) =>
      inTurn(job.jobId, 'the device was qualified', async (tell) => {
        const { jobId, runs, pauseMs, timeoutMs } = job;
        const task = { runs, pauseMs, timeoutMs, facts: doors.facts, scratch: join(folder.scratch, jobId) };
        // Of a run's own steps only those are told that may take long; the runs are what is counted.
        const onProgress: MeasureDoors['onProgress'] = (step) => {
          if (step === 'cooling' || step === 'quieting' || step === 'waiting') tell(step);
        };
        const outcome = await underPolicy(doors.policy(), signal, {
          fetch: async () => {},
          measure: (signal) =>
            patience.run(
              () =>
                qualifyDevice(
                  { ...task, signal },
                  {
                    clock,
                    measure: (run) => measureJob(run, measureDoors(jobId, onProgress)),
                    onRun: (step, done, of) => tell(step === 'run' ? 'timing' : step, done, of),
                  },
                ),
              signal,
            ),
        });
        if (outcome.outcome === 'qualified')
          await patience.run(
            () => keepQualification(folder.qualificationFile, outcome.qualification),
            signal,
          );
        return outcome;
      }),
  };
}
