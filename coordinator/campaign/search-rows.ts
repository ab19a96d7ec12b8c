import { CodedError } from '@fleetlora/shared/errors';
import type { Dataset, DatasetTask, SearchStart } from '@fleetlora/shared/protocol';
import type { RowSet } from '../evaluation/index.js';
import type { CampaignModels, ChosenSplit } from './ports.js';
import type { ScoreStage } from './trial-values.js';

/** Where the rows of a search's two stages come from. */
export interface SearchRows {
  readonly score: ChosenSplit;
  readonly final: ChosenSplit;
  readonly task: DatasetTask;
}

/**
 * The splits of a data set that a search is scored on.
 * @throws BAD_REQUEST when there is none, naming the splits
 */
export function chooseSearchRows(
  models: Pick<CampaignModels, 'splitFor'>,
  dataset: Dataset,
  { scoreRows }: Pick<SearchStart, 'scoreRows'>,
): SearchRows {
  return {
    score: models.splitFor(dataset, 'score'),
    final: models.splitFor(dataset, 'final', scoreRows),
    task: dataset.task,
  };
}

/** @throws BAD_REQUEST naming split, rows found and rows wanted when the splits are too small */
export function requireSearchRows(
  { score, final }: SearchRows,
  dataset: Pick<Dataset, 'name'>,
  { scoreRows, finalRows }: Pick<SearchStart, 'scoreRows' | 'finalRows'>,
): void {
  const refuse = ({ name, rows }: ChosenSplit, wanted: string): never => {
    const where = name === 'all' ? '' : ` in its ${name} split`;
    throw new CodedError('BAD_REQUEST', `data set "${dataset.name}" has ${rows} rows${where}, ${wanted}`);
  };
  if (final.name === score.name && scoreRows + finalRows > score.rows)
    refuse(score, `${scoreRows} to score and ${finalRows} held out were wanted (${scoreRows + finalRows})`);
  if (scoreRows > score.rows) refuse(score, `${scoreRows} to score were wanted`);
  if (finalRows > final.rows - final.skip) refuse(final, `${finalRows} held out were wanted`);
}

/** The rows of a stage, for evaluation. */
export function rowSetOf(
  stage: ScoreStage,
  rows: SearchRows,
  spec: Pick<SearchStart, 'scoreRows' | 'finalRows' | 'maxTokens' | 'seed'>,
  tokenizerDigest: string,
): RowSet {
  const { digest, skip } = stage === 'score' ? rows.score : rows.final;
  return {
    datasetDigest: digest,
    tokenizerDigest,
    maxTokens: spec.maxTokens,
    seed: spec.seed,
    skip,
    take: stage === 'score' ? spec.scoreRows : spec.finalRows,
    task: rows.task,
  };
}
