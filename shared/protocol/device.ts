import { type Static, Type } from 'typebox';
import { Bytes, closed, Digest, Id, LongText, ShortText } from './fields.js';
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
    /** The processor is emulated (QEMU, Rosetta): numerics hold, times and memory do not. Absent: false. */
    emulated: Type.Optional(Type.Boolean()),
  },
  closed,
);
export type DeviceFacts = Static<typeof DeviceFacts>;

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
