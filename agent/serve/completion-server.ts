import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import { CompletionRequest, type CompletionResponse, parseAs } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import Fastify, { type FastifyError, type FastifyReply } from 'fastify';
import type { Log } from '../log.js';
import type { ModelSlot } from './model-slot.js';

export interface CompletionServer {
  /** Where clients of this machine find it, for example http://127.0.0.1:7412. */
  readonly url: string;
  close(): Promise<void>;
}

export interface CompletionServerDoors {
  readonly port: number;
  readonly slot: ModelSlot;
  /** What `GET /health` tells beside the model. */
  readonly status: () => Readonly<Record<string, unknown>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: (prefix: string) => string;
  readonly log: Log;
}

const HOST = '127.0.0.1';
/** OpenAI's default. */
const DEFAULT_MAX_TOKENS = 16;
/** Room for the longest prompt with every character escaped. */
const MAX_BODY_BYTES = 512 * 1024;
/** A page of a stranger must not reach this door by a name it lets resolve to 127.0.0.1. */
const OWN_HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/;

/**
 * Serves completions in OpenAI's shape to clients on this machine alone.
 * @throws PORT_IN_USE
 */
export async function startCompletionServer(doors: CompletionServerDoors): Promise<CompletionServer> {
  const { slot, clock, log } = doors;
  const app = Fastify({ bodyLimit: MAX_BODY_BYTES, logger: false, forceCloseConnections: 'idle' });
  app.addHook('onRequest', async (request) => {
    if (!OWN_HOST.test(request.headers.host ?? ''))
      throw new CodedError(
        'FORBIDDEN',
        `host "${request.headers.host ?? ''}" is not this machine's own name`,
      );
  });
  app.setErrorHandler((error: FastifyError, _request, reply) => sendError(error, reply, log));
  app.setNotFoundHandler((request, reply) =>
    sendError(
      new CodedError('NOT_FOUND', `there is no ${request.method} ${request.url.slice(0, 100)} here`),
      reply,
      log,
    ),
  );

  app.get('/health', async () => ({
    status: 'ok',
    model: await slot.model(),
    modelLoaded: slot.isLoaded(),
    ...doors.status(),
  }));
  app.get('/v1/models', async () => {
    const model = await slot.model();
    const data = model === null ? [] : [{ id: model, object: 'model', created: 0, owned_by: 'fleetlora' }];
    return { object: 'list', data };
  });
  app.post('/v1/completions', async (request, reply): Promise<CompletionResponse> => {
    const body = parseAs(CompletionRequest, request.body, 'completion request');
    const gone = new AbortController();
    reply.raw.on('close', () => gone.abort());
    const answer = await slot.complete(
      {
        prompt: body.prompt,
        maxTokens: body.max_tokens ?? DEFAULT_MAX_TOKENS,
        temperature: body.temperature ?? 0,
        seed: body.seed ?? doors.random.below(2 ** 32),
        stop: typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []),
      },
      gone.signal,
    );
    return {
      id: doors.newId('cmpl'),
      object: 'text_completion',
      created: Math.floor(clock.nowMs() / 1000),
      model: answer.model,
      choices: [{ index: 0, text: answer.text, finish_reason: answer.finishReason }],
      usage: {
        prompt_tokens: answer.promptTokens,
        completion_tokens: answer.completionTokens,
        total_tokens: answer.promptTokens + answer.completionTokens,
      },
    };
  });

  try {
    return { url: await app.listen({ host: HOST, port: doors.port }), close: () => app.close() };
  } catch (cause) {
    await app.close();
    if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE')
      throw new CodedError(
        'PORT_IN_USE',
        `port ${doors.port} of ${HOST} is in use; choose another with --port, or 0`,
        {
          cause,
        },
      );
    throw cause;
  }
}

const statusOfKind = { input: 400, notFound: 404, conflict: 409, unavailable: 503, bug: 500 } as const;

/** OpenAI's error shape; of a bug the client learns nothing but that it happened. */
function sendError(error: Error, reply: FastifyReply, log: Log): FastifyReply {
  const status = statusOf(error);
  if (status >= 500) log.error({ reason: messageOf(error), stack: error.stack }, 'a completion failed');
  const hidden = status === 500;
  return reply.status(status).send({
    error: {
      message: hidden ? 'the agent failed; its log says more' : messageOf(error),
      type: status < 500 ? 'invalid_request_error' : 'server_error',
      code: isCoded(error) && !hidden ? error.code : status < 500 ? 'BAD_REQUEST' : 'BUG',
    },
  });
}

function statusOf(error: Error): number {
  if (isCoded(error)) return error.code === 'FORBIDDEN' ? 403 : statusOfKind[error.kind];
  const { statusCode } = error as FastifyError;
  return statusCode !== undefined && statusCode >= 400 && statusCode < 500 ? statusCode : 500;
}
