import { type Static, Type } from 'typebox';
import { Bytes, closed, TimeMs } from './fields.js';

const Days = Type.Union([Type.Integer({ minimum: 1, maximum: 36_500 }), Type.Null()]);

/** How long things are kept after they were last of use; null keeps them for ever. */
export const Retention = Type.Object(
  {
    /** Raw samples of the measurements of ended searches; their percentiles stay. */
    samplesDays: Days,
    /** Ended searches with their trials and jobs; one that a release names stays. */
    searchesDays: Days,
    /** Checkpoints of trainings that stopped or failed. */
    checkpointsDays: Days,
    /** Stored files that no record names: broken imports, sources of what was imported. */
    artifactsDays: Days,
    /** Above this many bytes of stored files, unnamed ones go oldest first, before their time. */
    artifactsBytes: Type.Union([Bytes, Type.Null()]),
    /** Deletes by itself, once a day; otherwise only when told. */
    automatic: Type.Boolean(),
  },
  closed,
);
export type Retention = Static<typeof Retention>;

export const defaultRetention: Retention = {
  samplesDays: 90,
  searchesDays: null,
  checkpointsDays: 30,
  artifactsDays: 30,
  artifactsBytes: null,
  automatic: false,
};

export const garbageKinds = ['samples', 'search', 'checkpoint', 'artifact', 'partial'] as const;
/** One thing that can go. */
export const Garbage = Type.Object({
  kind: Type.Enum([...garbageKinds]),
  /** Id, digest or file name. */
  id: Type.String(),
  what: Type.String(),
  bytes: Bytes,
  lastUsedAtMs: TimeMs,
  reason: Type.String(),
});
export type Garbage = Static<typeof Garbage>;

/** What `POST /v1/gc` would delete, or did. */
export const GarbageReport = Type.Object({
  deleted: Type.Boolean(),
  items: Type.Array(Garbage),
  bytes: Bytes,
  /** Bytes of stored files, before, and of those that something needs. */
  storedBytes: Bytes,
  neededBytes: Bytes,
});
export type GarbageReport = Static<typeof GarbageReport>;

/** `dryRun` shows and deletes nothing. */
export const GarbageCollect = Type.Object({ dryRun: Type.Boolean() }, closed);
export type GarbageCollect = Static<typeof GarbageCollect>;
