import type { Score, SearchStart } from '@fleetlora/shared/protocol';
import type { RowSet } from '../evaluation/index.js';
import { isPending, type LiveTrial } from './live-trial.js';
import { rowSetOf, type SearchRows } from './search-rows.js';
import type { ScoreStage } from './trial-values.js';

/**
 * Something to score. The cheap score is of a network, whatever its form; the final one is of the
 * very package that a release would ship.
 */
export interface ScoreTask {
  /** Trials of this key take the score: a network, or a genome in the final stage. */
  readonly key: string;
  readonly genome: string;
  readonly stage: ScoreStage;
  readonly rows: RowSet;
  readonly numbers: 'slices' | 'package';
}

/** What of a search has to be scored; each key once at a time. */
export interface ScoreQueue {
  needsScore(live: LiveTrial): boolean;
  /** A network is scored once; every trial that has it takes a copy. */
  known(network: string): Score | null;
  /** @param finalists the trials of the final stage, null before it */
  next(finalists: readonly LiveTrial[] | null): ScoreTask | null;
  released(task: ScoreTask): void;
  /** Trials that take the score of the task. */
  takersOf(task: ScoreTask, finalists: readonly LiveTrial[] | null): LiveTrial[];
}

export function createScoreQueue(
  trials: readonly LiveTrial[],
  spec: SearchStart,
  content: { readonly rows: SearchRows; readonly tokenizerDigest: string },
): ScoreQueue {
  const scoring = new Set<string>();
  const keyOf = (live: LiveTrial, stage: ScoreStage): string =>
    stage === 'score' ? live.network : live.stored.genome;
  const needsScore = (live: LiveTrial): boolean =>
    live.stored.score === null &&
    // Relative constraints refer to the full network even where no device can run it.
    (live.stored.label !== null || (isPending(live) && (live.end === null || live.end.state === 'finished')));
  return {
    needsScore,
    known: (network) =>
      trials.find((live) => live.network === network && live.stored.score)?.stored.score ?? null,
    next(finalists) {
      const stage: ScoreStage = finalists ? 'finalScore' : 'score';
      const wanting = finalists
        ? finalists.filter(({ stored }) => !stored.finalScore)
        : trials.filter(needsScore);
      const live = wanting.find((trial) => !scoring.has(keyOf(trial, stage)));
      if (!live) return null;
      const key = keyOf(live, stage);
      scoring.add(key);
      return {
        key,
        genome: live.stored.genome,
        stage,
        rows: rowSetOf(stage, content.rows, spec, content.tokenizerDigest),
        numbers: stage === 'score' ? 'slices' : 'package',
      };
    },
    released: (task) => void scoring.delete(task.key),
    takersOf: (task, finalists) =>
      (task.stage === 'finalScore' ? (finalists ?? []) : trials.filter(needsScore)).filter(
        (live) => keyOf(live, task.stage) === task.key,
      ),
  };
}
