import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { messageOf } from '@fleetlora/shared/errors';
import type { HostWorking } from '../host/index.js';
import type { FromTrainingChild, ToTrainingChild } from './messages.js';
import type { TrainingProgress } from './train-super-adapter.js';
import { takeTrainingTurns } from './training-turns.js';

/** How a training process ended: by its own last word, or without one. */
export type ProcessEnd =
  | { readonly kind: 'finished' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'gone'; readonly code: number | null; readonly signal: NodeJS.Signals | null };

export interface TrainingProcessCalls {
  onProgress(progress: TrainingProgress): void;
  /** Told why it waits for space on the disk, and null once it goes on. */
  onWaitForSpace(reason: string | null): void;
  /** Told once; what it computes, and its turn on the machine, are over by then. */
  onEnd(end: ProcessEnd): void;
  /** Told of a message that could not be sent; its end comes by itself. */
  onError(error: Error): void;
}

/** One training process; it takes turns with the measurements on its machine. */
export interface TrainingProcess {
  /** Why it makes no step at present; null while it does. */
  readonly waitReason: string | null;
  /** Asks it to end at its next step; false when it has none left to make, or is gone. */
  stop(): boolean;
  /** Ends it where it is; resolves when it is gone. */
  kill(): Promise<void>;
}

const MEASURING = 'the machine measures';

/** Starts a process for a training; `start` reaches it when its first turn on the machine begins. */
export function startTrainingProcess(
  host: Pick<HostWorking, 'takeTurn'>,
  start: ToTrainingChild,
  calls: TrainingProcessCalls,
): TrainingProcess {
  const child = fork(fileURLToPath(new URL('./training-child.js', import.meta.url)), {
    serialization: 'advanced',
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let isOver = false;
  let waitsForTurn = false;
  let waitsForSpace: string | null = null;
  const end = (how: ProcessEnd): void => {
    turns.end();
    if (isOver) return;
    isOver = true;
    calls.onEnd(how);
  };
  const waitForSpace = (reason: string | null): void => {
    waitsForSpace = reason;
    calls.onWaitForSpace(reason);
  };
  const handlers: {
    [K in FromTrainingChild['kind']]: (message: Extract<FromTrainingChild, { kind: K }>) => void;
  } = {
    progress: ({ progress }) => calls.onProgress(progress),
    waiting: ({ reason }) => waitForSpace(reason),
    goesOn: () => waitForSpace(null),
    paused: () => {},
    finished: () => end({ kind: 'finished' }),
    stopped: () => end({ kind: 'stopped' }),
    failed: ({ code, message }) => end({ kind: 'failed', reason: `${code}: ${message}` }),
  };
  child.on('message', (message: FromTrainingChild) => {
    turns.heard(message);
    (handlers[message.kind] as (message: FromTrainingChild) => void)(message);
  });
  // A message to a process that is gone: its end, which tells more, comes by itself. Unheard, it
  // would take the coordinator down.
  child.on('error', (error) => {
    if (child.pid !== undefined) calls.onError(error);
    else end({ kind: 'failed', reason: `no process could be started: ${messageOf(error)}` });
  });
  child.once('exit', (code, signal) => end({ kind: 'gone', code, signal }));
  const turns = takeTrainingTurns(
    host,
    (message) => child.send(message),
    start,
    (waits) => {
      waitsForTurn = waits;
    },
  );
  return {
    get waitReason() {
      return waitsForSpace ?? (waitsForTurn ? MEASURING : null);
    },
    stop() {
      if (isOver || !child.connected) return false;
      child.send({ kind: 'stop' } satisfies ToTrainingChild);
      return true;
    },
    async kill() {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await gone;
    },
  };
}
