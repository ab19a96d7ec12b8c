import type { ModelFiles } from '../model/index.js';
import type { PassRequest } from './measure-task.js';
import {
  fieldsOf,
  malformed,
  parseSamples,
  type SessionSamples,
  type SessionShare,
} from './session-result.js';

/** What the child is told that times a candidate in turns with the sentinel; a JSON value. */
export interface BesideRequest extends PassRequest {
  readonly sentinel: ModelFiles;
  /** Number of the session in its job, from 0. */
  readonly session: number;
  readonly seed: number;
  readonly share: SessionShare;
}

/** Samples of both in ms, in the order taken, not rounded. */
export interface BesideResult {
  readonly candidate: SessionSamples;
  readonly sentinel: SessionSamples;
}

/**
 * Checks a child's answer against what it was asked for.
 * @throws MESSAGE_MALFORMED naming the field, the value found and the one wanted
 */
export function parseBesideResult(answer: unknown, share: SessionShare): BesideResult {
  const { candidate, sentinel } = fieldsOf(answer, 'the answer');
  const result = {
    candidate: parseSamples(candidate, 'candidate', share),
    sentinel: parseSamples(sentinel, 'sentinel', share),
  };
  // A clock that stands still has no ratios.
  for (const [name, { prefillMs, decodeMs }] of Object.entries(result))
    if ([...prefillMs, ...decodeMs].some((ms) => ms === 0)) throw malformed(name, 0, 'samples above 0 ms');
  return result;
}
