import {
  CodedError,
  type ErrorCode,
  type ErrorKind,
  errorTable,
  findOutageIn,
  messageOf,
} from '@fleetlora/shared/errors';
import type { ApiError } from '@fleetlora/shared/protocol';
import type { FastifyError } from 'fastify';

const statusOfKind: Readonly<Record<ErrorKind, number>> = {
  input: 400,
  notFound: 404,
  conflict: 409,
  unavailable: 503,
  bug: 500,
};
/** Codes for which HTTP has a more exact status than their kind's. */
const statusOfCode: Partial<Record<ErrorCode, number>> = {
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  MESSAGE_TOO_LARGE: 413,
  RANGE_INVALID: 416,
  DISK_FULL: 507,
};
/** What clients are told above 499, where something more exact than the kind's sentence is safe to say. */
const sentenceOfCode: Partial<Record<ErrorCode, string>> = {
  STORE_UNAVAILABLE: "the coordinator's database cannot be reached; try again when it is back",
  DISK_FULL: "the coordinator's disk is full; free space and try again",
  CHILD_FAILED: 'a process that works for the coordinator ended badly, its log says why; try again',
  DEVICE_OFFLINE: 'the device is not connected; try again when it is',
  JOB_TIMED_OUT: 'a device did not deliver in time; try again',
  BUSY: 'the coordinator has too much to do at the moment; try again later',
};

export interface ErrorAnswer {
  readonly status: number;
  readonly body: ApiError;
}

/** The HTTP status of an error. */
export function statusOf(code: ErrorCode): number {
  return statusOfCode[code] ?? statusOfKind[errorTable[code]];
}

/**
 * What a client is told of an error above 499: a sentence by code, which says what to do. The reason
 * is for the log, since it may name paths and internals.
 */
export function sentenceOf(code: ErrorCode): string {
  const generic =
    errorTable[code] === 'unavailable'
      ? 'the coordinator cannot do this at present, try again later'
      : 'the coordinator failed to do this, its log says why';
  return sentenceOfCode[code] ?? generic;
}

/** What a client is told of an error. */
export function answerTo(error: unknown): ErrorAnswer {
  const { code, message } = toCoded(error);
  const status = statusOf(code);
  return { status, body: { code, message: status < 500 ? message : sentenceOf(code) } };
}

/** Errors of the HTTP layer (validation, size, media type) become ours. */
function toCoded(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  const outage = findOutageIn(error);
  if (outage) return outage;
  const { statusCode, validation } = error as Partial<FastifyError>;
  const message = messageOf(error);
  if (validation !== undefined) return new CodedError('BAD_REQUEST', message, { cause: error });
  if (statusCode === 413) return new CodedError('MESSAGE_TOO_LARGE', message, { cause: error });
  if (statusCode === 404) return new CodedError('NOT_FOUND', message, { cause: error });
  if (statusCode !== undefined && statusCode < 500)
    return new CodedError('BAD_REQUEST', message, { cause: error });
  return new CodedError('BUG', message, { cause: error });
}
