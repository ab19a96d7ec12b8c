import { type Static, Type } from 'typebox';
import { precisions } from '../space/genome.js';
import { SearchSpaceSchema } from '../space/space-file.js';
import { exportDtypes, exportKinds } from '../weights/export/export-kinds.js';
import { Calibration, importances } from './compression.js';
import { DeviceFacts, installStates } from './device.js';
import {
  Base64,
  Bytes,
  closed,
  Digest,
  GenomeText,
  Id,
  LongText,
  Name,
  Nullable,
  ShortText,
  TimeMs,
} from './fields.js';
import { Progress } from './job.js';
import { Conditions } from './policy.js';
import { Qualification } from './qualification.js';
import { SignedManifest } from './release.js';

/** Every error of the API. `code` is one of errorTable's. */
export const ApiError = Type.Object({ code: Type.String(), message: Type.String() });
export type ApiError = Static<typeof ApiError>;

// -- files ---------------------------------------------------------------------------------
/**
 * Length of an upload in bytes, told by senders whose stream has no Content-Length, so that one that
 * does not fit is refused before it fills the disk.
 * @source tus resumable upload protocol 1.0.0, Upload-Length
 */
export const uploadLengthHeader = 'upload-length';
export const Upload = Type.Object({ digest: Digest, bytes: Bytes });
export type Upload = Static<typeof Upload>;
const Files = Type.Record(Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$' }), Digest);

// -- bases, adapters, data ------------------------------------------------------------------
/**
 * `files`: digests of uploads by name. Of a Hugging Face folder config.json, tokenizer.json, and
 * model.safetensors or model.safetensors.index.json with its shards; where they are there
 * generation_config.json, tokenizer_config.json and chat_template.jinja. Or model.gguf, perhaps with a
 * tokenizer.json. `chatTemplate`: false leaves out the one that a GGUF file carries. `importance`: by what
 * FFN channels and heads are sorted; absent: channels by l1, heads not at all. `wanda` needs `calibration`.
 */
export const BaseImport = Type.Object(
  {
    name: Name,
    files: Files,
    chatTemplate: Type.Optional(Type.Boolean()),
    importance: Type.Optional(Type.Enum([...importances])),
    calibration: Type.Optional(Calibration),
  },
  closed,
);
export type BaseImport = Static<typeof BaseImport>;

/**
 * `files`: adapter_config.json, adapter_model.safetensors (PEFT, original channel order). `masked`: it was
 * trained to count only where the base's weights in this precision are not 0.
 */
export const AdapterImport = Type.Object(
  {
    name: Name,
    base: ShortText,
    files: Files,
    space: Type.Optional(SearchSpaceSchema),
    masked: Type.Optional(Type.Enum([...precisions])),
  },
  closed,
);
export type AdapterImport = Static<typeof AdapterImport>;
export const Adapter = Type.Object({
  id: Id,
  name: Name,
  baseId: Id,
  digest: Digest,
  bytes: Bytes,
  rankMax: Type.Integer(),
  alpha: Type.Number(),
  space: SearchSpaceSchema,
  /** It counts only where the base's weights in this precision are not 0; absent: everywhere. */
  masked: Type.Optional(Type.Enum([...precisions])),
  /** PEFT files in the original channel order, as digests: adapter_config.json, adapter_model.safetensors. */
  files: Files,
  createdAtMs: TimeMs,
});
export type Adapter = Static<typeof Adapter>;

/**
 * `candidate` absent: the whole super-adapter at its largest rank. `dtype`: number type of the weights;
 * absent: f32, and of a whole super-adapter as `peft` the one that it was imported with.
 */
export const AdapterExport = Type.Object(
  {
    as: Type.Enum([...exportKinds]),
    candidate: Type.Optional(GenomeText),
    dtype: Type.Optional(Type.Enum([...exportDtypes])),
  },
  closed,
);
export type AdapterExport = Static<typeof AdapterExport>;
/** Files by their path below the folder of the export, to be fetched as artifacts. */
export const AdapterExported = Type.Object({
  genome: GenomeText,
  files: Type.Array(Type.Object({ path: Type.String(), digest: Digest, bytes: Bytes })),
});
export type AdapterExported = Static<typeof AdapterExported>;

// -- training ---------------------------------------------------------------------------------
export const TrainingOptions = Type.Object(
  {
    steps: Type.Integer({ minimum: 1, maximum: 10_000_000 }),
    batchRows: Type.Integer({ minimum: 1, maximum: 65536 }),
    learningRate: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
    warmupSteps: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
    weightDecay: Type.Number({ minimum: 0, maximum: 1 }),
    clipNorm: Type.Number({ exclusiveMinimum: 0, maximum: 1e6 }),
    sampling: Type.Enum(['uniform', 'sandwich', 'rotation']),
    /** Random sub-networks a step beside max and min (sandwich), or alone (uniform); rotation has its own. */
    randomSubnets: Type.Integer({ minimum: 0, maximum: 16 }),
    maxTokens: Type.Integer({ minimum: 8, maximum: 8192 }),
    seed: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    checkpointEverySteps: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    threads: Type.Integer({ minimum: 1, maximum: 256 }),
    /** Id or name of the super-adapter whose factors the run starts with; absent: from nothing. */
    from: Type.Optional(ShortText),
    /** Trains beside the base as it is in this precision; absent: the one that the space offers, of several fp32. */
    precision: Type.Optional(Type.Enum([...precisions])),
    /**
     * Share of the loss of every sub-network but the largest that is its KL divergence from the
     * largest, the rest being that of the data; absent: learns from the data alone.
     */
    distil: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
    /** Counts only where the weights of a pruned base are not 0 (SparsePEFT); in a quantised precision also rounds to its numbers. */
    masked: Type.Optional(Type.Boolean()),
  },
  closed,
);
export type TrainingOptions = Static<typeof TrainingOptions>;
export const TrainingStart = Type.Object(
  {
    name: Name,
    base: ShortText,
    dataset: ShortText,
    space: SearchSpaceSchema,
    options: Type.Partial(TrainingOptions, closed),
  },
  closed,
);
export type TrainingStart = Static<typeof TrainingStart>;
const {
  sampling: _sampling,
  randomSubnets: _randomSubnets,
  from: _from,
  distil: _distil,
  masked: _masked,
  precision: _precision,
  ...ofOneCandidate
} = TrainingOptions.properties;
/** Options of a training of one candidate, which has no sub-networks to choose among; all may be left out. */
export const TuneOptions = Type.Partial(Type.Object(ofOneCandidate), closed);
export type TuneOptions = Static<typeof TuneOptions>;
export const AdapterTune = Type.Object(
  { name: Name, candidate: GenomeText, dataset: ShortText, options: TuneOptions },
  closed,
);
export type AdapterTune = Static<typeof AdapterTune>;
export const RunState = Type.Enum(['running', 'finished', 'failed', 'stopped']);
export type RunState = Static<typeof RunState>;
export const Training = Type.Object({
  id: Id,
  name: Name,
  baseId: Id,
  datasetId: Id,
  state: RunState,
  options: TrainingOptions,
  step: Type.Integer(),
  loss: Nullable(Type.Number()),
  tokensPerSecond: Nullable(Type.Number()),
  etaSeconds: Nullable(Type.Number()),
  /** Why it makes no step at present; null while it does. */
  waitReason: Nullable(LongText),
  adapterId: Nullable(Id),
  error: Nullable(LongText),
  createdAtMs: TimeMs,
});
export type Training = Static<typeof Training>;

// -- enrolment and devices ---------------------------------------------------------------------
export const CodeCreate = Type.Object(
  {
    ttlSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 365 * 86400 })),
    deviceClass: Type.Optional(Name),
  },
  closed,
);
export type CodeCreate = Static<typeof CodeCreate>;
export const Code = Type.Object({ code: Type.String(), expiresAtMs: TimeMs, enrollUrl: Type.String() });
export type Code = Static<typeof Code>;

/** `publicKey`: P-256 SPKI DER; `proof`: ECDSA-SHA256 (IEEE P1363) over enrolmentBytes(code, publicKey). */
export const Enroll = Type.Object(
  {
    code: Type.String({ minLength: 4, maxLength: 64 }),
    name: Type.Optional(Name),
    publicKey: Base64,
    proof: Base64,
    facts: DeviceFacts,
  },
  closed,
);
export type Enroll = Static<typeof Enroll>;
/** `releaseKey`: Ed25519 SPKI DER, pinned by the device. */
export const Enrolled = Type.Object({
  deviceId: Id,
  deviceClass: Name,
  mqttUrl: Type.String(),
  releaseKey: Base64,
});
export type Enrolled = Static<typeof Enrolled>;
export const ChallengeRequest = Type.Object({ deviceId: Id }, closed);
export const Challenge = Type.Object({ nonce: Type.String({ maxLength: 128 }) });
/** `signature`: ECDSA-SHA256 (IEEE P1363) over sessionBytes(deviceId, nonce). */
export const SessionRequest = Type.Object(
  { deviceId: Id, nonce: Type.String({ maxLength: 128 }), signature: Base64 },
  closed,
);
/** `token`: MQTT password (user name: device id) and bearer token of the artifact routes. */
export const Session = Type.Object({ token: Type.String(), expiresInSeconds: Type.Integer() });
export type Session = Static<typeof Session>;

/** The bytes a device signs to enrol. */
export function enrolmentBytes(code: string, publicKey: string): Uint8Array {
  return new TextEncoder().encode(`fleetlora-enroll\n${code}\n${publicKey}`);
}
/** The bytes a device signs to open a session. */
export function sessionBytes(deviceId: string, nonce: string): Uint8Array {
  return new TextEncoder().encode(`fleetlora-session\n${deviceId}\n${nonce}`);
}

/** A device's qualification, and what became of it. */
export const DeviceQualification = Type.Object({
  ...Qualification.properties,
  /** Received, by the coordinator's clock. */
  atMs: TimeMs,
  /** False once its agent, runtime or processor is another: it will be asked anew. */
  fits: Type.Boolean(),
});
export type DeviceQualification = Static<typeof DeviceQualification>;
export const Quarantine = Type.Object({ reason: LongText, sinceMs: TimeMs });
export type Quarantine = Static<typeof Quarantine>;
const JobProgress = Type.Object(Progress.properties);

export const Device = Type.Object({
  id: Id,
  name: Name,
  deviceClass: Name,
  facts: DeviceFacts,
  online: Type.Boolean(),
  lastSeenAtMs: Nullable(TimeMs),
  enrolledAtMs: TimeMs,
  installedReleaseId: Nullable(Id),
  serveUrl: Nullable(Type.String()),
  runningJobId: Nullable(Id),
  queuedJobs: Type.Integer(),
  labels: Type.Array(Name),
  /** What the device last said of its policy; null before it did. */
  conditions: Nullable(Conditions),
  /** Whether it gives the same figure for the same work; null before it was asked. */
  qualification: Nullable(DeviceQualification),
  /** Its qualification that is queued or under way. */
  qualifyJobId: Nullable(Id),
  /** Why the last one failed or was put off; null when it was not, and after a restart of the coordinator. */
  qualifyFailure: Nullable(LongText),
  /** Why it is given no candidates until it qualifies anew; null when it is not in quarantine. */
  quarantine: Nullable(Quarantine),
  /** What it does for its job at present; null when it has none, or does not tell. */
  progress: Nullable(JobProgress),
  /** Why the device has no work at present, in words; null while it works. */
  idleReason: Nullable(Type.String()),
});
export type Device = Static<typeof Device>;
export const Labels = Type.Object({ labels: Type.Array(Name, { maxItems: 32, uniqueItems: true }) }, closed);
export type Labels = Static<typeof Labels>;

// -- releases and rollouts ------------------------------------------------------------------------
export const ReleaseCreate = Type.Object(
  {
    name: Name,
    search: ShortText,
    trial: Type.Optional(Type.String({ maxLength: 64 })),
    goldenPrompts: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 2000 }), { minItems: 1, maxItems: 64 }),
    ),
  },
  closed,
);
export type ReleaseCreate = Static<typeof ReleaseCreate>;
export const Release = Type.Object({
  id: Id,
  number: Type.Integer(),
  name: Name,
  searchId: Id,
  trialId: Id,
  genome: GenomeText,
  packageDigest: Digest,
  packageBytes: Bytes,
  manifestDigest: Digest,
  signed: SignedManifest,
  createdAtMs: TimeMs,
});
export type Release = Static<typeof Release>;
export const RolloutStart = Type.Object(
  {
    release: ShortText,
    deviceClass: Type.Optional(Name),
    devices: Type.Optional(Type.Array(ShortText, { minItems: 1, maxItems: 1000 })),
  },
  closed,
);
export type RolloutStart = Static<typeof RolloutStart>;
export const RolloutDevice = Type.Object({
  deviceId: Id,
  name: Name,
  state: Type.Enum(['waiting', ...installStates]),
  reason: Nullable(LongText),
  healthy: Nullable(Type.Integer()),
  checked: Nullable(Type.Integer()),
  updatedAtMs: TimeMs,
});
export type RolloutDevice = Static<typeof RolloutDevice>;
export const Rollout = Type.Object({
  id: Id,
  releaseId: Id,
  state: Type.Enum(['running', 'succeeded', 'failed']),
  devices: Type.Array(RolloutDevice),
  createdAtMs: TimeMs,
});
export type Rollout = Static<typeof Rollout>;

export const Health = Type.Object({
  version: Type.String(),
  startedAtMs: TimeMs,
  devicesOnline: Type.Integer(),
  droppedMessages: Type.Integer(),
  /** `unavailable` while the database cannot be reached or written; requests that need it are answered with 503 or 507. */
  store: Type.Enum(['available', 'unavailable']),
});
export type Health = Static<typeof Health>;
