import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import type { Random } from '@fleetlora/shared/random';
import type { FastifyReply } from 'fastify';
import type { Log } from '../log.js';
import { type Chunk, type CompletionForm, type CompletionHead, usageOf } from './completion-forms.js';
import { errorAnswer } from './error-answer.js';
import { type EventStream, openEventStream } from './event-stream.js';
import type { TextRequest } from './generate-text.js';
import type { ModelSlot, SlotAnswer, SlotFollower } from './model-slot.js';

export interface CompletionDoors {
  readonly slot: ModelSlot;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: (prefix: string) => string;
  readonly log: Log;
  /** A streaming client that takes nothing for so long is cut off. */
  readonly stalledAfterMs: number;
  /** Aborted when the door closes: an answer may take minutes, and nobody waits for it any more. */
  readonly stopping: AbortSignal;
}

/**
 * Answers one completion request, whole or as a stream. A client that hangs up ends the generation.
 *
 * A stream begins with its first piece: what is wrong before that is told by an HTTP status, what
 * goes wrong afterwards by an event with `error`, after which the stream ends without `[DONE]`.
 */
export async function answerCompletion(
  doors: CompletionDoors,
  form: CompletionForm,
  body: unknown,
  reply: FastifyReply,
): Promise<unknown> {
  const { slot, clock, random } = doors;
  const { request, stream, includeUsage } = form.parse(body);
  const seeded: TextRequest = { ...request, seed: request.seed ?? random.below(2 ** 32) };
  const gone = new AbortController();
  reply.raw.on('close', () => gone.abort());
  const id = doors.newId(form.idPrefix);
  const created = Math.floor(clock.nowMs() / 1000);
  const complete = async (follower: SlotFollower): Promise<SlotAnswer> => {
    const signal = AbortSignal.any([gone.signal, doors.stopping]);
    const answer = await slot.complete(seeded, { ...follower, signal });
    // What was cut short must not pass for an answer that came to its end.
    if (doors.stopping.aborted) throw new CodedError('STATE_CONFLICT', 'the agent is stopping');
    return answer;
  };
  const headFor = (model: string): CompletionHead => ({ id, created, model });

  if (!stream) {
    const answer = await complete({});
    return form.answer(headFor(answer.model), answer);
  }

  let events: EventStream | null = null;
  const sendChunk = (chunk: Chunk, to: EventStream): Promise<void> =>
    to.send(JSON.stringify(includeUsage ? { usage: null, ...chunk } : chunk));
  const begin = async (model: string): Promise<EventStream> => {
    if (events) return events;
    reply.hijack();
    events = openEventStream(reply.raw, doors.stalledAfterMs);
    for (const chunk of form.opening(headFor(model))) await sendChunk(chunk, events);
    return events;
  };
  let answer: SlotAnswer;
  try {
    answer = await complete({
      onPiece: async (piece, model) => {
        const to = await begin(model);
        await sendChunk(form.chunk(headFor(model), piece), to);
      },
    });
  } catch (error) {
    const begun = events as EventStream | null;
    if (!begun) throw error;
    doors.log.error({ reason: messageOf(error) }, 'a streamed completion broke off');
    await begun.send(JSON.stringify(errorAnswer(error as Error).body));
    begun.end();
    return undefined;
  }
  const head = headFor(answer.model);
  const to = await begin(answer.model);
  await sendChunk(form.closing(head, answer.finishReason), to);
  if (includeUsage) await sendChunk(form.usage(head, usageOf(answer)), to);
  await to.send('[DONE]');
  to.end();
  return undefined;
}
