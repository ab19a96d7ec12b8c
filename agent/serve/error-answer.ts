import { isCoded, messageOf } from '@fleetlora/shared/errors';
import type { FastifyError } from 'fastify';

export interface ErrorAnswer {
  readonly status: number;
  /** OpenAI's shape; of a bug the client learns nothing but that it happened. */
  readonly body: {
    readonly error: { readonly message: string; readonly type: string; readonly code: string };
  };
}

const statusOfKind = { input: 400, notFound: 404, conflict: 409, unavailable: 503, bug: 500 } as const;

/** What a client is told of an error. */
export function errorAnswer(error: Error): ErrorAnswer {
  const status = statusOf(error);
  const hidden = status === 500;
  return {
    status,
    body: {
      error: {
        message: hidden ? 'the agent failed; its log says more' : messageOf(error),
        type: status < 500 ? 'invalid_request_error' : 'server_error',
        code: isCoded(error) && !hidden ? error.code : status < 500 ? 'BAD_REQUEST' : 'BUG',
      },
    },
  };
}

function statusOf(error: Error): number {
  if (isCoded(error)) return error.code === 'FORBIDDEN' ? 403 : statusOfKind[error.kind];
  const { statusCode } = error as FastifyError;
  return statusCode !== undefined && statusCode >= 400 && statusCode < 500 ? statusCode : 500;
}
