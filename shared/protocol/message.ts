import { type Static, type TSchema, Type } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { CodedError } from '../errors.js';
import { describeMismatch } from './describe-mismatch.js';
import { Acknowledgement, Birth, Cancel, Death, Desired, RolloutReport } from './device.js';
import { closed } from './fields.js';
import { Job, JobResult, Progress } from './job.js';
import { limits, protocolVersion } from './limits.js';
import { Conditions, PolicyOrder } from './policy.js';
import { type DownKind, type UpKind, upKinds } from './topics.js';

/** Body schema of every kind of message. */
export const bodies = {
  birth: Birth,
  death: Death,
  result: JobResult,
  report: RolloutReport,
  conditions: Conditions,
  progress: Progress,
  job: Job,
  cancel: Cancel,
  ack: Acknowledgement,
  desired: Desired,
  policy: PolicyOrder,
} as const satisfies Record<UpKind | DownKind, TSchema>;
export type MessageKind = keyof typeof bodies;
export type MessageBody<K extends MessageKind> = Static<(typeof bodies)[K]>;

/** What stands around every body on the wire. */
export interface Message<K extends MessageKind> {
  readonly v: typeof protocolVersion;
  /** Unique per message; repeats on a resend, so a receiver can drop duplicates. */
  readonly id: string;
  /** Which connection of the device this belongs to; a death counts only for its own session. */
  readonly session: number;
  readonly body: MessageBody<K>;
}

const envelope = <S extends TSchema>(body: S) =>
  Type.Object(
    {
      v: Type.Literal(protocolVersion),
      id: Type.String({ minLength: 1, maxLength: 40 }),
      session: Type.Integer({ minimum: 0, maximum: 2 ** 53 - 1 }),
      body,
    },
    closed,
  );

const checks = new Map<MessageKind, Validator>(
  (Object.keys(bodies) as MessageKind[]).map((kind) => [
    kind,
    Compile(envelope(bodies[kind])) as unknown as Validator,
  ]),
);
const upKindNames: readonly string[] = upKinds;

/** Bytes a message of this kind may have. */
export function messageCeiling(kind: MessageKind): number {
  return upKindNames.includes(kind) ? limits.upMessageBytes : limits.downMessageBytes;
}

/**
 * The wire form of a message.
 * @throws MESSAGE_TOO_LARGE when it would pass the ceiling of its kind
 */
export function encodeMessage<K extends MessageKind>(kind: K, message: Omit<Message<K>, 'v'>): string {
  const text = JSON.stringify({ v: protocolVersion, ...message });
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > messageCeiling(kind))
    throw new CodedError(
      'MESSAGE_TOO_LARGE',
      `${kind} message has ${bytes} bytes, at most ${messageCeiling(kind)} are allowed`,
    );
  return text;
}

/**
 * Parses a message from the other side.
 * @throws MESSAGE_TOO_LARGE, MESSAGE_VERSION or MESSAGE_MALFORMED naming the field
 */
export function decodeMessage<K extends MessageKind>(kind: K, payload: Uint8Array): Message<K> {
  if (payload.length > messageCeiling(kind))
    throw new CodedError(
      'MESSAGE_TOO_LARGE',
      `${kind} message has ${payload.length} bytes, at most ${messageCeiling(kind)} are allowed`,
    );
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new CodedError('MESSAGE_MALFORMED', `${kind} message is not JSON`, { cause });
  }
  const version = (value as { v?: unknown } | null)?.v;
  if (version !== protocolVersion)
    throw new CodedError(
      'MESSAGE_VERSION',
      `${kind} message has version ${JSON.stringify(version)?.slice(0, 20)}, wanted ${protocolVersion}`,
    );
  const check = checks.get(kind) as Validator;
  if (!check.Check(value))
    throw new CodedError(
      'MESSAGE_MALFORMED',
      `${kind} message: ${describeMismatch(check, value, 'top level')}`,
    );
  return value as Message<K>;
}
