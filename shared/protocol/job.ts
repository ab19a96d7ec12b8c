import { type Static, Type } from 'typebox';
import { closed, Digest, GenomeText, Id, LongText } from './fields.js';
import { limits } from './limits.js';
import { MeasurePlan } from './measure-plan.js';
import { Measurement } from './measurement.js';
import { Qualification } from './qualification.js';

const TimeoutMs = Type.Integer({ minimum: 1000, maximum: 3_600_000 });

/** A candidate to measure, or a batch of one shape. */
export const MeasureJob = Type.Object(
  {
    jobId: Id,
    genome: GenomeText,
    /**
     * Further candidates with the shape of `genome` (`shapeOf`): they differ from it in ranks above
     * zero alone, and are compared with it in shared sessions.
     */
    others: Type.Optional(Type.Array(GenomeText, { minItems: 1, maxItems: limits.batch - 1 })),
    /** The search's sentinel, unmerged: the first candidate is also timed in turns with it. */
    sentinel: Type.Optional(GenomeText),
    baseDigest: Digest,
    /** The file that the sentinel runs on; absent: that of `baseDigest`. It has another precision then. */
    sentinelBaseDigest: Type.Optional(Digest),
    adapterDigest: Digest,
    plan: MeasurePlan,
    timeoutMs: TimeoutMs,
  },
  closed,
);
export type MeasureJob = Static<typeof MeasureJob>;

/** Measures the standard candidate several times: is the device steady? */
export const QualifyJob = Type.Object(
  {
    jobId: Id,
    kind: Type.Literal('qualify'),
    runs: Type.Integer({ minimum: 2, maximum: 32 }),
    /** Between two runs. */
    pauseMs: Type.Integer({ minimum: 0, maximum: 600_000 }),
    timeoutMs: TimeoutMs,
  },
  closed,
);
export type QualifyJob = Static<typeof QualifyJob>;

export const Job = Type.Union([MeasureJob, QualifyJob]);
export type Job = Static<typeof Job>;

export function isQualifyJob<J extends object>(job: J): job is Extract<J, { kind: 'qualify' }> {
  return 'kind' in job;
}

/** Candidates of a job, in the order of its results. */
export function genomesOf(job: Pick<MeasureJob, 'genome' | 'others'>): string[] {
  return [job.genome, ...(job.others ?? [])];
}

/** Digests of the files that a job needs. */
export function digestsOf(
  job: Pick<MeasureJob, 'baseDigest' | 'sentinelBaseDigest' | 'adapterDigest'>,
): string[] {
  const { baseDigest, sentinelBaseDigest, adapterDigest } = job;
  return [baseDigest, ...(sentinelBaseDigest === undefined ? [] : [sentinelBaseDigest]), adapterDigest];
}

/**
 * How a job ended. `infeasible`: the candidate cannot run on this device (its child crashed or
 * was killed). `failed`: something else went wrong and another try may work. `rejected`: the
 * device will not run this job. `postponed`: its policy forbids to measure at present; the trial
 * may go to another device, or come back.
 */
export const JobResult = Type.Union([
  Type.Object(
    {
      jobId: Id,
      outcome: Type.Literal('measured'),
      measurement: Measurement,
      /** Of the job's `others`, in their order. */
      others: Type.Optional(Type.Array(Measurement, { minItems: 1, maxItems: limits.batch - 1 })),
    },
    closed,
  ),
  Type.Object({ jobId: Id, outcome: Type.Literal('qualified'), qualification: Qualification }, closed),
  Type.Object(
    {
      jobId: Id,
      outcome: Type.Enum(['infeasible', 'failed', 'rejected', 'canceled', 'postponed']),
      reason: LongText,
    },
    closed,
  ),
]);
export type JobResult = Static<typeof JobResult>;

/** What a device does for its job. */
export const jobSteps = [
  'waiting',
  'fetching',
  'cooling',
  'quieting',
  'merging',
  'timing',
  'weighing',
  'energy',
  'sustained',
  'pausing',
] as const;
export type JobStep = (typeof jobSteps)[number];

/**
 * Up, at each step and at least every `progressEveryMs`: the heartbeat of the lease that a job is.
 * A device that spoke once of a job and then falls silent, though connected, has lost it.
 */
export const Progress = Type.Object(
  {
    jobId: Id,
    step: Type.Enum([...jobSteps]),
    /** Sessions, runs or candidates done of this step, and how many there are. */
    done: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    of: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  },
  closed,
);
export type Progress = Static<typeof Progress>;

export const progressEveryMs = 15_000;
/** Silence after which a job that was spoken of is lost: four heartbeats. */
export const progressLostMs = 60_000;
