import { type Static, Type } from 'typebox';
import { SearchSpaceSchema } from '../space/space-file.js';
import { closed, Digest, GenomeText, Id, LongText, Name, Nullable, ShortText, TimeMs } from './fields.js';
import { limits } from './limits.js';
import { MeasurePlan } from './measure-plan.js';
import { KeptMeasurement, PercentDifference } from './measurement.js';

export const qualityObjectives = ['accuracy', 'loss'] as const;
export const costObjectives = ['decodeMs', 'prefillMs', 'peakBytes', 'shippedBytes'] as const;
export type QualityObjective = (typeof qualityObjectives)[number];
export type CostObjective = (typeof costObjectives)[number];
export const strategies = ['nsga2', 'random', 'heuristic', 'hillClimbing'] as const;

export const SearchStart = Type.Object(
  {
    name: Name,
    adapter: ShortText,
    dataset: ShortText,
    deviceClass: Name,
    strategy: Type.Enum([...strategies]),
    quality: Type.Enum([...qualityObjectives]),
    costs: Type.Array(Type.Enum([...costObjectives]), { minItems: 1, maxItems: 4 }),
    /** Distinct genomes to measure. */
    trials: Type.Integer({ minimum: 1, maximum: 100_000 }),
    seed: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    /**
     * Rows for the cheap score, after a seeded shuffle: of the data's validation split, else of its
     * test split, else of all.
     */
    scoreRows: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    /**
     * Held-out rows on which the front is scored again: of the test split where a validation split
     * gave the others, else the ones after `scoreRows`.
     */
    finalRows: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
    /** Points of the front that are scored again, baselines not counted. */
    finalPoints: Type.Integer({ minimum: 0, maximum: 64 }),
    space: Type.Optional(SearchSpaceSchema),
    /** For example "accuracy>=max-1.0", "peakBytes<=200MB", "decodeMs<=3". */
    require: Type.Array(Type.String({ minLength: 3, maxLength: 80 }), { maxItems: 8 }),
    plan: MeasurePlan,
    maxTokens: Type.Integer({ minimum: 8, maximum: 8192 }),
    /**
     * Jobs a device holds or awaits at once, 1 when absent. More keep it busy over a slow link and
     * while scores are computed; each was proposed with fewer results known.
     */
    ahead: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
    /**
     * Candidates of one shape that a device compares in one job. Absent: 4 in a space whose
     * candidates differ in ranks alone, else 1. More than 1 is proposed with fewer results known.
     */
    batch: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.batch })),
    /** A device measures the sentinel before its first job and after this many; 0 never. Absent: 8. */
    sentinelEvery: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000 })),
    /**
     * Time every candidate in turns with the sentinel, too, and rank by the ratio. Absent: true,
     * where there are sentinels (`sentinelEvery`).
     */
    besideSentinel: Type.Optional(Type.Boolean()),
    /** Give jobs to qualified devices only. Absent: false, and the front says whose figures to doubt. */
    qualifiedOnly: Type.Optional(Type.Boolean()),
  },
  closed,
);
export type SearchStart = Static<typeof SearchStart>;

/** Quality on a set of rows; accuracy in percent with its 95 % Wilson interval. */
export const Score = Type.Object(
  {
    rows: Type.Integer(),
    correct: Type.Integer(),
    accuracy: Type.Number(),
    accuracyLow: Type.Number(),
    accuracyHigh: Type.Number(),
    /** Mean negative log-likelihood a target token, nats. */
    loss: Type.Number(),
    /** Answers that reached `maxNewTokens` without an end; only of a generation task. */
    answersCut: Type.Optional(Type.Integer()),
  },
  closed,
);
export type Score = Static<typeof Score>;

/**
 * What a trial's latencies are divided by before trials are ranked: how much slower its device ran
 * the sentinel around that time than the search's reference did, 1 within the noise. Of a trial that
 * was timed in turns with the sentinel (`beside`) it follows from their ratio.
 */
export const DriftCorrection = Type.Object({
  decode: Type.Number(),
  prefill: Type.Number(),
  /** The device's last sentinel, or the search's first one. */
  sentinelJobId: Id,
  beside: Type.Optional(Type.Literal(true)),
});
export type DriftCorrection = Static<typeof DriftCorrection>;

export const trialStates = ['pending', 'finished', 'infeasible', 'failed'] as const;
export const Trial = Type.Object({
  id: Id,
  number: Type.Integer(),
  label: Nullable(Type.String()),
  genome: GenomeText,
  genomeDigest: Digest,
  state: Type.Enum([...trialStates]),
  deviceId: Nullable(Id),
  score: Nullable(Score),
  finalScore: Nullable(Score),
  measurement: Nullable(KeptMeasurement),
  correction: Nullable(DriftCorrection),
  reason: Nullable(LongText),
});
export type Trial = Static<typeof Trial>;

export const searchStates = ['running', 'finalizing', 'finished', 'stopped', 'failed'] as const;
export const Search = Type.Object({
  id: Id,
  name: Name,
  state: Type.Enum([...searchStates]),
  spec: SearchStart,
  adapterId: Id,
  spaceSize: Type.Number(),
  finishedTrials: Type.Integer(),
  infeasibleTrials: Type.Integer(),
  pendingTrials: Type.Integer(),
  elapsedSeconds: Type.Number(),
  reason: Nullable(LongText),
  createdAtMs: TimeMs,
});
export type Search = Static<typeof Search>;

/** The front and the baselines {max, maxMerged, middle, min}; `chosen` is the best point that meets `require`. */
export const Front = Type.Object({
  searchId: Id,
  state: Search.properties.state,
  points: Type.Array(Trial),
  baselines: Type.Array(Trial),
  chosenTrialId: Nullable(Id),
  chosenReason: Type.String(),
  /** What a reader of the front should know, such as an accuracy that no candidate has. */
  notices: Type.Array(Type.String()),
});
export type Front = Static<typeof Front>;

/** Two trials side by side; `paired` when both were candidates of one batch, compared round by round. */
export const TrialComparison = Type.Object({
  a: Trial,
  b: Trial,
  paired: Type.Boolean(),
  /** b against a. Differences whose interval includes 0 are not established. */
  decode: PercentDifference,
  prefill: PercentDifference,
  /** Exact, without an interval. */
  peakBytesPercent: Type.Number(),
  shippedBytesPercent: Type.Number(),
  notices: Type.Array(Type.String()),
});
export type TrialComparison = Static<typeof TrialComparison>;
