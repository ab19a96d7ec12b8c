import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import Fastify, { type FastifyError, type FastifyReply } from 'fastify';
import type { Log } from '../log.js';
import { answerCompletion, type CompletionDoors } from './answer-completion.js';
import { chatForm, textForm } from './completion-forms.js';
import { errorAnswer } from './error-answer.js';

export interface CompletionServer {
  /** Where clients of this machine find it, for example http://127.0.0.1:7412. */
  readonly url: string;
  /** Ends the answers under way, with an error that says so. */
  close(): Promise<void>;
}

export interface CompletionServerDoors extends Omit<CompletionDoors, 'stalledAfterMs' | 'stopping'> {
  readonly port: number;
  /** What `GET /health` tells beside the model. */
  readonly status: () => Readonly<Record<string, unknown>>;
  readonly stalledAfterMs?: number;
}

const HOST = '127.0.0.1';
/** Room for the longest prompt with every character escaped. */
const MAX_BODY_BYTES = 512 * 1024;
/** A page of a stranger must not reach this door by a name it lets resolve to 127.0.0.1. */
const OWN_HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/;
/** A program on this machine reads at once, or has stopped reading. */
const STALLED_AFTER_MS = 30_000;

/**
 * Serves completions in OpenAI's shape to clients on this machine alone.
 * @throws PORT_IN_USE
 */
export async function startCompletionServer(doors: CompletionServerDoors): Promise<CompletionServer> {
  const { slot, log } = doors;
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
  const stopping = new AbortController();
  const completions = {
    ...doors,
    stalledAfterMs: doors.stalledAfterMs ?? STALLED_AFTER_MS,
    stopping: stopping.signal,
  };
  app.post('/v1/completions', (request, reply) =>
    answerCompletion(completions, textForm, request.body, reply),
  );
  app.post('/v1/chat/completions', (request, reply) =>
    answerCompletion(completions, chatForm, request.body, reply),
  );

  const closeUnused = trackUnused(app.server);
  try {
    const url = await app.listen({ host: HOST, port: doors.port });
    return {
      url,
      close() {
        stopping.abort();
        closeUnused();
        return app.close();
      },
    };
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

/**
 * Clients open connections ahead of a request that may never come. Node.js does not count them as
 * idle, so closing would wait a minute for each.
 * @returns closes those that have not been used yet
 */
function trackUnused(server: Server): () => void {
  const unused = new Set<Socket>();
  server.on('connection', (socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', ({ socket }) => unused.delete(socket));
  return () => {
    for (const socket of unused) socket.destroy();
  };
}

function sendError(error: Error, reply: FastifyReply, log: Log): FastifyReply {
  const { status, body } = errorAnswer(error);
  if (status >= 500) log.error({ reason: messageOf(error), stack: error.stack }, 'a completion failed');
  return reply.status(status).send(body);
}
