import { CodedError, type ErrorCode, errorTable } from '@fleetlora/shared/errors';
import { spawnChild } from '../child/index.js';
import type { TextAnswer, TextRequest } from './generate-text.js';
import { type FromModel, type ModelSpec, parseFromModel, type ToModel } from './model-messages.js';

/** A loaded model in a process of its own. */
export interface ModelProcess {
  readonly name: string;
  /** False once the process ended, for whatever reason. */
  readonly alive: boolean;
  /** @throws BAD_REQUEST, BUSY when too many requests wait, CHILD_FAILED when the process dies */
  complete(request: TextRequest, follower?: PieceFollower): Promise<TextAnswer>;
  /** Greedy continuation in token ids. */
  continueGreedily(promptIds: readonly number[], maxTokens: number): Promise<readonly number[]>;
  /** Takes no new request, finishes the ones under way, ends. */
  close(): Promise<void>;
}

/** Whoever waits for a completion. */
export interface PieceFollower {
  /** Aborted, the rest is not generated any more. */
  readonly signal?: AbortSignal;
  /**
   * Told every piece of the text in order, all of them before `complete` resolves. While it has not
   * resolved, the model stops soon.
   */
  readonly onPiece?: (piece: string) => Promise<void>;
}

/** Requests that wait for one model; each may take a minute on a slow board. */
const MAX_WAITING = 16;
const ownEntry = new URL('./model-child.js', import.meta.url);

interface Pending {
  readonly resolve: (message: FromModel) => void;
  readonly reject: (error: Error) => void;
  readonly onPiece: (piece: string) => void;
}
const ignorePieces: Pending['onPiece'] = () => {};

/**
 * Starts a process and loads the model into it.
 * @throws the load's own code, or CHILD_FAILED when the process dies or takes too long
 */
export async function openModelProcess(
  spec: ModelSpec,
  options: { readonly loadTimeoutMs: number; readonly entry?: URL },
): Promise<ModelProcess> {
  const child = spawnChild(options.entry ?? ownEntry);
  const pending = new Map<number | 'load', Pending>();
  let nextId = 1;
  let alive = true;
  let closing = false;
  let onDrained: (() => void) | null = null;

  const settle = (key: number | 'load'): Pending | undefined => {
    const waiter = pending.get(key);
    pending.delete(key);
    if (pending.size === 0) onDrained?.();
    return waiter;
  };
  const send = (message: ToModel): void => {
    child.send(message, () => {
      // A process that is gone is noticed by `close`.
    });
  };
  const ask = (key: number | 'load', message: ToModel, onPiece = ignorePieces): Promise<FromModel> =>
    new Promise((resolve, reject) => {
      if (!alive)
        return reject(new CodedError('CHILD_FAILED', `the process of model ${spec.name} has ended`));
      pending.set(key, { resolve, reject, onPiece });
      send(message);
    });

  child.on('message', (value) => {
    let said: FromModel;
    try {
      said = parseFromModel(value);
    } catch {
      // Nothing of it can be trusted any more; `close` rejects all who wait.
      child.kill('SIGKILL');
      return;
    }
    if (said.kind === 'piece') pending.get(said.id)?.onPiece(said.text);
    else if (said.kind === 'failed') settle(said.id ?? 'load')?.reject(codedError(said.code, said.message));
    else settle(said.kind === 'loaded' ? 'load' : said.id)?.resolve(said);
  });
  child.on('error', () => {});
  child.stderr?.resume();
  const ended = new Promise<void>((resolve) => {
    child.on('close', (exitCode, signal) => {
      alive = false;
      const how = signal ? `by ${signal}` : `with exit code ${exitCode}`;
      const error = new CodedError('CHILD_FAILED', `the process of model ${spec.name} ended ${how}`);
      for (const key of [...pending.keys()]) settle(key)?.reject(error);
      resolve();
    });
  });

  const timer = setTimeout(() => child.kill('SIGKILL'), options.loadTimeoutMs);
  try {
    await ask('load', { kind: 'load', spec });
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    throw error;
  } finally {
    clearTimeout(timer);
  }

  function admit(): number {
    if (closing) throw new CodedError('STATE_CONFLICT', `model ${spec.name} is being replaced`);
    if (pending.size >= MAX_WAITING)
      throw new CodedError('BUSY', `${pending.size} requests wait for model ${spec.name}, no more are taken`);
    return nextId++;
  }

  return {
    name: spec.name,
    get alive() {
      return alive;
    },
    async complete(request, { signal, onPiece } = {}) {
      const id = admit();
      const cancel = (): void => send({ kind: 'cancel', id });
      let told: Promise<void> = Promise.resolve();
      const passOn = (piece: string): void => {
        told = told.then(() => onPiece?.(piece)).then(() => send({ kind: 'taken', id }));
        // Told below, once the model has stopped.
        told.catch(cancel);
      };
      const asked = ask(id, { kind: 'complete', id, request, pieces: onPiece !== undefined }, passOn);
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel, { once: true });
      try {
        const said = await asked;
        await told;
        if (said.kind !== 'completed')
          throw new CodedError('BUG', `a completion was answered with ${said.kind}`);
        return said.answer;
      } finally {
        signal?.removeEventListener('abort', cancel);
      }
    },
    async continueGreedily(promptIds, maxTokens) {
      const id = admit();
      const said = await ask(id, { kind: 'continue', id, promptIds, maxTokens });
      if (said.kind !== 'continued')
        throw new CodedError('BUG', `a continuation was answered with ${said.kind}`);
      return said.ids;
    },
    async close() {
      closing = true;
      if (alive && pending.size > 0)
        await new Promise<void>((resolve) => {
          onDrained = resolve;
        });
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function codedError(code: string, message: string): CodedError {
  return new CodedError(code in errorTable ? (code as ErrorCode) : 'BUG', message);
}
