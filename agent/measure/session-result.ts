import { CodedError } from '@fleetlora/shared/errors';
import type { MeasurePlan } from '@fleetlora/shared/protocol';
import { limits } from '@fleetlora/shared/protocol/limits';
import type { PassRequest } from './measure-task.js';

/** What a session child is told; a JSON value. */
export interface SessionRequest extends PassRequest {
  /** Number of the session in its job, from 0. */
  readonly session: number;
  /** Whether the first candidate is loaded a second time, warm, after its samples. */
  readonly reload: boolean;
  /** The batch this session compares; null for a candidate alone. */
  readonly batch: { readonly others: readonly string[]; readonly seed: number } | null;
}

/** Samples of both quantities in ms, in the order taken, not rounded. */
export interface SessionSamples {
  readonly prefillMs: number[];
  readonly decodeMs: number[];
}

/** What a session child answers. */
export interface SessionResult extends SessionSamples {
  readonly runtime: string;
  readonly provider: string;
  readonly coldLoadMs: number;
  /** Only where the request wants a reload. */
  readonly warmLoadMs: number | null;
  /**
   * One a entrant of the shared session: the candidates in the order of the job, then the
   * duplicate of the first. Samples of one index were taken in the same round. Empty without a batch.
   */
  readonly shared: SessionSamples[];
}

/** Samples a session takes of each quantity. */
export interface SessionShare {
  readonly prefill: number;
  readonly decode: number;
}

/**
 * A session's equal share of the plan's repeats, rounded up; rounded down where the total would
 * else be more than a result may hold.
 * @param sessions of the plan
 */
export function shareOf(plan: MeasurePlan, sessions: number): SessionShare {
  const most = Math.floor(limits.samples / sessions);
  const share = (repeats: number): number => Math.min(Math.ceil(repeats / sessions), most);
  return { prefill: share(plan.prefillRepeats), decode: share(plan.decodeRepeats) };
}

/** Entrants of the shared session: all candidates, and the duplicate of the first. */
export function entrantsOf(request: Pick<SessionRequest, 'batch'>): number {
  return request.batch ? request.batch.others.length + 2 : 0;
}

/**
 * Checks a child's answer against what it was asked for.
 * @throws MESSAGE_MALFORMED naming the field, the value found and the one wanted
 */
export function parseSessionResult(
  answer: unknown,
  request: SessionRequest,
  share: SessionShare,
): SessionResult {
  const fields = fieldsOf(answer, 'the answer');
  const entrants = entrantsOf(request);
  const { shared } = fields;
  if (!Array.isArray(shared) || shared.length !== entrants)
    throw malformed('shared', shared, `${entrants} entrants`);
  return {
    runtime: text(fields.runtime, 'runtime'),
    provider: text(fields.provider, 'provider'),
    coldLoadMs: milliseconds(fields.coldLoadMs, 'coldLoadMs'),
    warmLoadMs: request.reload ? milliseconds(fields.warmLoadMs, 'warmLoadMs') : null,
    ...parseSamples(fields, '', share),
    shared: shared.map((entrant, index) => parseSamples(entrant, `shared[${index}]`, share)),
  };
}

/**
 * Samples of both quantities, as many as were wanted.
 * @param path of `value` in the answer; empty for the answer itself
 */
export function parseSamples(value: unknown, path: string, share: SessionShare): SessionSamples {
  const { prefillMs, decodeMs } = fieldsOf(value, path);
  const dot = path === '' ? '' : '.';
  return {
    prefillMs: numbers(prefillMs, `${path}${dot}prefillMs`, share.prefill),
    decodeMs: numbers(decodeMs, `${path}${dot}decodeMs`, share.decode),
  };
}

export function fieldsOf(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw malformed(path, value, 'an object');
  return value as Record<string, unknown>;
}

function text(value: unknown, path: string): string {
  if (typeof value !== 'string') throw malformed(path, value, 'a text');
  return value;
}

function milliseconds(value: unknown, path: string): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1e8))
    throw malformed(path, value, 'milliseconds from 0 to 1e8');
  return value;
}

function numbers(value: unknown, path: string, count: number): number[] {
  if (!Array.isArray(value) || value.length !== count) throw malformed(path, value, `${count} samples`);
  return value.map((sample, index) => milliseconds(sample, `${path}[${index}]`));
}

export function malformed(path: string, found: unknown, wanted: string): CodedError {
  const shown = Array.isArray(found) ? `a list of ${found.length}` : JSON.stringify(found)?.slice(0, 100);
  return new CodedError('MESSAGE_MALFORMED', `${path} of a session is ${shown}, wanted ${wanted}`);
}
