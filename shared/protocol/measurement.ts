import { type Static, Type } from 'typebox';
import { forms } from '../space/genome.js';
import { Bytes, closed, GenomeText, Milliseconds, Nullable, ShortText } from './fields.js';
import { limits } from './limits.js';
import { MeasurePlan } from './measure-plan.js';

const Samples = Type.Array(Milliseconds, { minItems: 1, maxItems: limits.samples });
const KeptSamples = Type.Array(Milliseconds, { maxItems: limits.samples });
const perSession = { minItems: 1, maxItems: limits.sessions };

/**
 * One timed quantity in ms. Fields that are optional are absent from records of before 0.3 only,
 * `p99Ms` and `lowMs`/`highMs` also where nothing can be said.
 */
export const Timing = Type.Object(
  {
    /** Nearest-rank percentiles of all samples, plus `offsetMs`. */
    p50Ms: Milliseconds,
    p90Ms: Milliseconds,
    p99Ms: Type.Optional(Milliseconds),
    /** Which of them the number of samples establishes, by the early-stopping rule at 99 % confidence. */
    established: Type.Optional(
      Type.Object({ p50: Type.Boolean(), p90: Type.Boolean(), p99: Type.Boolean() }, closed),
    ),
    n: Type.Integer({ minimum: 1, maximum: limits.samples }),
    /** Every raw sample in the order taken, outliers included, one session after another. */
    samplesMs: Samples,
    /** Samples and median (offset included) of each session. */
    sessionSizes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: limits.samples }), perSession),
    ),
    sessionMediansMs: Type.Optional(Type.Array(Milliseconds, perSession)),
    /** 95 % interval of the figure, from the spread between sessions; absent below two sessions. */
    lowMs: Type.Optional(Type.Number({ minimum: -1e8, maximum: 1e8 })),
    highMs: Type.Optional(Milliseconds),
    /** Largest less smallest session median, in percent of the median. */
    spreadPercent: Type.Optional(Type.Number({ minimum: 0, maximum: 1e8 })),
    /** Samples far from the median of their session: told, never dropped. */
    outliers: Type.Optional(Type.Integer({ minimum: 0, maximum: limits.samples })),
    /**
     * What was added to raw samples of a shared session, so that figures of a batch stand on the
     * absolute one of its first candidate; 0 or absent for samples of the candidate's own sessions.
     */
    offsetMs: Type.Optional(Type.Number({ minimum: -1e8, maximum: 1e8 })),
  },
  closed,
);
export type Timing = Static<typeof Timing>;

/** What the timing passes of a measurement find; each session runs in a process of its own. */
export const TimingPass = Type.Object(
  {
    runtime: ShortText,
    provider: ShortText,
    /** First load in a fresh process, the native runtime included (median of the sessions), and a second one in the same process. */
    coldLoadMs: Milliseconds,
    warmLoadMs: Milliseconds,
    coldLoadsMs: Type.Optional(Type.Array(Milliseconds, perSession)),
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

const Celsius = Type.Number({ minimum: -100, maximum: 300 });
const Cores = Type.Number({ minimum: 0, maximum: 4096 });

/** What the machine was like while it measured; null where it cannot tell. */
export const MachineState = Type.Object(
  {
    /** Hottest thermal zone. */
    temperatureStartC: Nullable(Celsius),
    temperatureEndC: Nullable(Celsius),
    throttled: Nullable(Type.Boolean()),
    onMains: Nullable(Type.Boolean()),
    /** cpufreq governor, of all cores when they agree, else joined by a comma. */
    governor: Nullable(ShortText),
    /** Cores that other processes kept busy, mean over the timing passes. */
    otherCores: Nullable(Cores),
    /** Waited until it was cool, until others were quiet, until no request was served. */
    waitedMs: Type.Object({ cooling: Milliseconds, quiet: Milliseconds, serving: Milliseconds }, closed),
    /** Sessions thrown away and taken anew because something disturbed them. */
    retakenSessions: Type.Integer({ minimum: 0, maximum: 1000 }),
  },
  closed,
);
export type MachineState = Static<typeof MachineState>;

/**
 * What a reader must know before trusting a figure. `emulated`: no real processor. `throttled`:
 * it ran slower for heat or power. `hot`: it did not cool in the time allowed. `busy`: other
 * processes had cores. `onBattery`: many devices slow down. `fewSessions`: fewer than five, so the
 * spread between sessions is not established. `duplicateDiffers`: the A/A duplicate of its batch
 * was told apart from its original. `outliers`: more than 20 % of the samples were.
 */
export const measurementFlags = [
  'emulated',
  'throttled',
  'hot',
  'busy',
  'onBattery',
  'fewSessions',
  'duplicateDiffers',
  'outliers',
] as const;
export type MeasurementFlag = (typeof measurementFlags)[number];
const Flags = Type.Array(Type.Enum([...measurementFlags]), { maxItems: measurementFlags.length });

/** Where energy figures come from: Intel and AMD counters, a battery's own gauge, an INA monitor. */
export const energySources = ['rapl', 'battery', 'ina'] as const;
/** Energy of decode steps of the whole device or package, gross; absent where no sensor tells. */
export const Energy = Type.Object(
  {
    source: Type.Enum([...energySources]),
    joulesPerToken: Type.Number({ minimum: 0, maximum: 1e6 }),
    watts: Type.Number({ minimum: 0, maximum: 1e6 }),
    tokens: Type.Integer({ minimum: 1, maximum: 1e9 }),
    seconds: Type.Number({ minimum: 0, maximum: 1e6 }),
  },
  closed,
);
export type Energy = Static<typeof Energy>;

/** A continuous run of decode steps: the median of its first tenth, and of its last. */
export const Sustained = Type.Object(
  {
    seconds: Type.Number({ minimum: 0, maximum: 1e5 }),
    steps: Type.Integer({ minimum: 1, maximum: 1e9 }),
    burstP50Ms: Milliseconds,
    sustainedP50Ms: Milliseconds,
    throttled: Nullable(Type.Boolean()),
    temperatureEndC: Nullable(Celsius),
  },
  closed,
);
export type Sustained = Static<typeof Sustained>;

const Percent = Type.Number({ minimum: -1e6, maximum: 1e6 });
/** A difference in percent with its 95 % interval. */
export const PercentDifference = Type.Object({ percent: Percent, low: Percent, high: Percent }, closed);
export type PercentDifference = Static<typeof PercentDifference>;

/**
 * The comparison a measurement is part of: candidates of one shape in the same shared sessions,
 * interleaved in random order. Sample i of one candidate was taken in the same round as sample i
 * of every other.
 */
export const Batch = Type.Object(
  {
    /** Candidates, and which of them this is; 0 is the one with sessions of its own. */
    size: Type.Integer({ minimum: 2, maximum: limits.batch }),
    position: Type.Integer({ minimum: 0, maximum: limits.batch - 1 }),
    /** Of the order of each round. */
    seed: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    /** The first candidate against its duplicate: must include 0. */
    duplicate: Type.Object({ prefill: PercentDifference, decode: PercentDifference }, closed),
    /** This candidate against the first, paired; 0 for the first itself. */
    difference: Type.Object({ prefill: PercentDifference, decode: PercentDifference }, closed),
    /** Raw samples of the first candidate in the shared sessions; only with position 0. */
    sharedSamplesMs: Type.Optional(Type.Object({ prefill: KeptSamples, decode: KeptSamples }, closed)),
  },
  closed,
);
export type Batch = Static<typeof Batch>;

const Ratio = Type.Number({ exclusiveMinimum: 0, maximum: 1e6 });
const BesideTiming = Type.Object(
  {
    /** The candidate's time by the sentinel's: see `sessionRatio`. */
    ratio: Ratio,
    /** 95 % interval, from the spread between sessions; absent below two sessions. */
    low: Type.Optional(Ratio),
    high: Type.Optional(Ratio),
    /** Medians of all samples. */
    p50Ms: Milliseconds,
    sentinelP50Ms: Milliseconds,
    /** Raw samples of both, one session after another; `sessionSizes` of each of them. */
    samplesMs: KeptSamples,
    sentinelSamplesMs: KeptSamples,
    sessionSizes: Type.Array(Type.Integer({ minimum: 1, maximum: limits.samples }), perSession),
  },
  closed,
);

/**
 * The candidate and the search's sentinel in turns, in sessions of their own that hold both (four for
 * each of the plan, with huge pages where there are some). What makes the machine slower for a while, a
 * neighbour on its host or heat, makes both slower: their
 * ratio compares with that of another candidate at another time, which times in ms do not.
 */
export const Beside = Type.Object(
  {
    sentinel: GenomeText,
    /** Of the order of the turns. */
    seed: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    prefill: BesideTiming,
    decode: BesideTiming,
  },
  closed,
);
export type Beside = Static<typeof Beside>;

export const Measurement = Type.Object(
  {
    plan: MeasurePlan,
    ...TimingPass.properties,
    ...MemoryPass.properties,
    /** Bytes a release of this candidate ships to a device that holds the base. */
    shippedBytes: Bytes,
    // From here on absent from records of before 0.3.
    form: Type.Optional(Type.Enum([...forms])),
    machine: Type.Optional(MachineState),
    flags: Type.Optional(Flags),
    energy: Type.Optional(Energy),
    sustained: Type.Optional(Sustained),
    batch: Type.Optional(Batch),
    /** Only of a job's first candidate, and absent where both together found no memory. */
    beside: Type.Optional(Beside),
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
