import type { HostTurn, HostWorking } from '../host/index.js';
import type { FromTrainingChild, ToTrainingChild } from './messages.js';

/** The turns that one training process takes on its machine. */
export interface TrainingTurns {
  /** What the process said, unless that was its last word. */
  heard(message: FromTrainingChild): void;
  /** The process has nothing left to compute, or is gone. Harmless again. */
  end(): void;
}

/**
 * Has a training process work in turns: it gets `start` when its first turn begins, `pause` when a
 * measurement waits, and `goOn` when the next turn begins.
 *
 * Invariant: between a turn's end and the next one's begin the process computes nothing. It has not
 * started, or said `paused`, or waits for space on the disk; what waits so pauses before its next
 * step by itself.
 * @param onWait told whether it waits for its turn
 */
export function takeTrainingTurns(
  host: Pick<HostWorking, 'takeTurn'>,
  send: (message: ToTrainingChild) => void,
  start: ToTrainingChild,
  onWait: (waits: boolean) => void,
): TrainingTurns {
  let isOver = false;
  let turn: HostTurn | null = null;
  const begin = (message: ToTrainingChild): void => {
    onWait(true);
    turn = host.takeTurn('train', {
      onBegin() {
        onWait(false);
        send(message);
      },
      onAsked: () => send({ kind: 'pause' }),
    });
  };
  begin(start);
  return {
    heard({ kind }) {
      if (isOver) return;
      if (kind === 'waiting' || kind === 'paused') turn?.end();
      if (kind === 'paused') begin({ kind: 'goOn' });
    },
    end() {
      isOver = true;
      turn?.end();
    },
  };
}
