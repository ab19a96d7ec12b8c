import { CodedError, type ErrorCode, type ErrorKind, messageOf } from '@fleetlora/shared/errors';
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
};

export interface ErrorAnswer {
  readonly status: number;
  readonly body: ApiError;
}

/**
 * What a client is told of an error. Above 499 it is a generic sentence: the reason is for the log,
 * since it may name paths and internals.
 */
export function answerTo(error: unknown): ErrorAnswer {
  const { code, kind, message } = toCoded(error);
  const status = statusOfCode[code] ?? statusOfKind[kind];
  if (status < 500) return { status, body: { code, message } };
  const generic =
    kind === 'unavailable'
      ? 'the coordinator cannot do this at present, try again later'
      : 'the coordinator failed to do this, its log says why';
  return { status, body: { code, message: generic } };
}

/** Errors of the HTTP layer (validation, size, media type) become ours. */
function toCoded(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  const { statusCode, validation } = error as Partial<FastifyError>;
  const message = messageOf(error);
  if (validation !== undefined) return new CodedError('BAD_REQUEST', message, { cause: error });
  if (statusCode === 413) return new CodedError('MESSAGE_TOO_LARGE', message, { cause: error });
  if (statusCode === 404) return new CodedError('NOT_FOUND', message, { cause: error });
  if (statusCode !== undefined && statusCode < 500)
    return new CodedError('BAD_REQUEST', message, { cause: error });
  return new CodedError('BUG', message, { cause: error });
}
