import { type Static, Type } from 'typebox';
import { Bytes, closed, Digest, GenomeText, Id, LongText, Milliseconds, ShortText } from './fields.js';
import { limits } from './limits.js';
import { Conditions } from './policy.js';

/** What a device is, told at enrolment and at every birth. */
export const DeviceFacts = Type.Object(
  {
    agentVersion: ShortText,
    hostname: ShortText,
    os: ShortText,
    arch: ShortText,
    cpuModel: ShortText,
    cores: Type.Integer({ minimum: 1, maximum: 4096 }),
    memoryBytes: Bytes,
    runtime: ShortText,
    provider: ShortText,
    /** Same for everything that runs on one booted machine; "" when the device cannot tell. */
    bootId: Type.String({ maxLength: 64 }),
  },
  closed,
);
export type DeviceFacts = Static<typeof DeviceFacts>;

/** How a candidate is measured: two trials are comparable when their plans are equal. */
export const MeasurePlan = Type.Object(
  {
    promptTokens: Type.Integer({ minimum: 1, maximum: 8192, description: 'prompt length of TTFT' }),
    kvTokens: Type.Integer({ minimum: 1, maximum: 8192, description: 'cache length of TPOT' }),
    prefillRepeats: Type.Integer({ minimum: 1, maximum: limits.samples }),
    decodeRepeats: Type.Integer({ minimum: 1, maximum: limits.samples }),
    threads: Type.Integer({ minimum: 1, maximum: 256 }),
  },
  closed,
);
export type MeasurePlan = Static<typeof MeasurePlan>;

/** 128-token prompts; 64 samples establish a p90 by the early-stopping rule, 11 a p50. */
export const defaultMeasurePlan: MeasurePlan = {
  promptTokens: 128,
  kvTokens: 256,
  prefillRepeats: 11,
  decodeRepeats: 64,
  threads: 1,
};

const Samples = Type.Array(Milliseconds, { minItems: 1, maxItems: limits.samples });
const KeptSamples = Type.Array(Milliseconds, { maxItems: limits.samples });
/** One timed quantity: percentiles in ms, n, and every raw sample in the order taken. */
export const Timing = Type.Object(
  {
    p50Ms: Milliseconds,
    p90Ms: Milliseconds,
    n: Type.Integer({ minimum: 1, maximum: limits.samples }),
    samplesMs: Samples,
  },
  closed,
);
export type Timing = Static<typeof Timing>;

/** What the timing pass of a measurement finds; it runs in a process of its own. */
export const TimingPass = Type.Object(
  {
    runtime: ShortText,
    provider: ShortText,
    /** First load in a fresh process, the native runtime included, and a second one in the same process. */
    coldLoadMs: Milliseconds,
    warmLoadMs: Milliseconds,
    /** Time to first token of a `promptTokens` prompt. */
    prefill: Timing,
    /** Time per output token with `kvTokens` in the cache. */
    decode: Timing,
  },
  closed,
);
export type TimingPass = Static<typeof TimingPass>;

/**
 * Where a peak comes from, best first: the kernel's high-water mark after a reset, the mark of
 * the whole process life (the reset is not allowed here), the largest of polled values (no such
 * mark on this system). Only equal methods compare.
 */
export const memoryMethods = ['vmhwm', 'vmhwmSinceStart', 'polledRss'] as const;

/** What the memory pass of a measurement finds; it runs in a process of its own. */
export const MemoryPass = Type.Object(
  {
    /** VmHWM of the measuring child before runtime and model are loaded, and at its end. */
    baselineBytes: Bytes,
    peakBytes: Bytes,
    /** Largest RssAnon seen: memory that no page cache can give back. */
    anonymousBytes: Bytes,
    /** Absent means `vmhwm`. */
    memoryMethod: Type.Optional(Type.Enum([...memoryMethods])),
  },
  closed,
);
export type MemoryPass = Static<typeof MemoryPass>;

export const Measurement = Type.Object(
  {
    plan: MeasurePlan,
    ...TimingPass.properties,
    ...MemoryPass.properties,
    /** Bytes a release of this candidate ships to a device that holds the base. */
    shippedBytes: Bytes,
  },
  closed,
);
export type Measurement = Static<typeof Measurement>;

const KeptTiming = Type.Object({ ...Timing.properties, samplesMs: KeptSamples }, closed);
/** A measurement as it is kept: its raw samples may have been dropped since; `n` tells how many there were. */
export const KeptMeasurement = Type.Object(
  { ...Measurement.properties, prefill: KeptTiming, decode: KeptTiming },
  closed,
);

export const MeasureJob = Type.Object(
  {
    jobId: Id,
    genome: GenomeText,
    baseDigest: Digest,
    adapterDigest: Digest,
    plan: MeasurePlan,
    timeoutMs: Type.Integer({ minimum: 1000, maximum: 3_600_000 }),
  },
  closed,
);
export type MeasureJob = Static<typeof MeasureJob>;

/**
 * How a job ended. `infeasible`: the candidate cannot run on this device (its child crashed or
 * was killed). `failed`: something else went wrong and another try may work. `rejected`: the
 * device will not run this job. `postponed`: its policy forbids to measure at present; the trial
 * may go to another device, or come back.
 */
export const JobResult = Type.Union([
  Type.Object({ jobId: Id, outcome: Type.Literal('measured'), measurement: Measurement }, closed),
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

/** Steps of an installation; the last three are final. */
export const installStates = [
  'fetching',
  'verifying',
  'loading',
  'proving',
  'succeeded',
  'failed',
  'rejected',
] as const;
export const InstallState = Type.Enum([...installStates]);
export type InstallState = Static<typeof InstallState>;

/** How far a rollout has come on a device. */
export const RolloutReport = Type.Object(
  {
    rolloutId: Id,
    releaseId: Id,
    state: InstallState,
    reason: Type.Optional(LongText),
    /** Golden prompts answered as expected, and how many there were. */
    healthy: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000 })),
    checked: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000 })),
    downloadedBytes: Type.Optional(Bytes),
  },
  closed,
);
export type RolloutReport = Static<typeof RolloutReport>;

export const Birth = Type.Object(
  {
    facts: DeviceFacts,
    /** Job that is running or waiting in the outbox: it must not be sent again. */
    heldJobIds: Type.Array(Id, { maxItems: 256 }),
    installedReleaseId: Type.Union([Id, Type.Null()]),
    /** Where the device serves completions, for people on the same machine. */
    serveUrl: Type.Union([ShortText, Type.Null()]),
    /** What the last known policies say; absent from a device that was never told one. */
    conditions: Type.Optional(Conditions),
  },
  closed,
);
export type Birth = Static<typeof Birth>;
export const Death = Type.Object({}, closed);

export const Acknowledgement = Type.Object(
  { ids: Type.Array(Type.String({ minLength: 1, maxLength: 40 }), { maxItems: limits.acknowledgements }) },
  closed,
);
export const Cancel = Type.Object({ jobId: Id }, closed);
/** The release a device should run; the signed manifest is fetched by digest. */
export const Desired = Type.Object({ rolloutId: Id, releaseId: Id, manifestDigest: Digest }, closed);
export type Desired = Static<typeof Desired>;
