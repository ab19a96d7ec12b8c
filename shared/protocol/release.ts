import { type Static, Type } from 'typebox';
import {
  Base64,
  Bytes,
  closed,
  Digest,
  GenomeText,
  Id,
  Milliseconds,
  ShortText,
  TimeMs,
  TokenIds,
} from './fields.js';

/** A prompt whose greedy continuation proves that the right model answers. */
export const GoldenPrompt = Type.Object(
  { text: Type.String({ maxLength: 2000 }), promptIds: TokenIds, expectedIds: TokenIds },
  closed,
);
export type GoldenPrompt = Static<typeof GoldenPrompt>;

/** What a device needs to run a release. The signed bytes are this object's JSON as stored. */
export const ReleaseManifest = Type.Object(
  {
    version: Type.Literal(1),
    releaseId: Id,
    /** Grows with every release; a device refuses a smaller number than it runs. */
    number: Type.Integer({ minimum: 1, maximum: 2 ** 31 }),
    name: ShortText,
    createdAtMs: TimeMs,
    genome: GenomeText,
    baseDigest: Digest,
    tokenizerDigest: Digest,
    /** The packaged candidate: fp16 LoRA factors, or fp16 merged matrices. */
    packageDigest: Digest,
    packageBytes: Bytes,
    stopIds: TokenIds,
    golden: Type.Array(GoldenPrompt, { minItems: 1, maxItems: 64 }),
    expected: Type.Optional(
      Type.Object({ decodeP50Ms: Milliseconds, prefillP50Ms: Milliseconds, peakBytes: Bytes }, closed),
    ),
  },
  closed,
);
export type ReleaseManifest = Static<typeof ReleaseManifest>;

/** A manifest as it travels: the exact bytes that were signed, and the Ed25519 signature. */
export const SignedManifest = Type.Object(
  { keyId: Digest, manifest: Type.String({ maxLength: 512 * 1024 }), signature: Base64 },
  closed,
);
export type SignedManifest = Static<typeof SignedManifest>;
