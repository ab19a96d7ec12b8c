import type { Dataset, DatasetTask, Score, SearchStart, Trial } from '@fleetlora/shared/protocol';
import { parseConstraint } from '../search/index.js';
import { listMeasureNotices, type MeasuredBy } from './list-measure-notices.js';
import type { SearchRows } from './search-rows.js';
import { hasFinalRound } from './summarize-front.js';
import type { ScoreStage } from './trial-values.js';

/** Share of answers that may reach their limit before it is worth a word. */
const CUT_SHARE = 0.1;

/**
 * What a reader of a front should know before believing it, as sentences; most serious first.
 * @param stage whose scores the front shows
 */
export function listNotices(
  spec: SearchStart,
  trials: readonly Trial[],
  stage: ScoreStage,
  data: { readonly dataset: Dataset; readonly rows: SearchRows },
  measuredBy: MeasuredBy,
): string[] {
  const scores = trials.flatMap((trial) => {
    const score = trial[stage];
    return score && trial.state === 'finished' ? [score] : [];
  });
  return [
    ...noticeAccuracy(spec, scores),
    ...noticeCutAnswers(data.rows.task, scores),
    ...listMeasureNotices(spec, trials, measuredBy),
    ...noticeSplits(spec, data),
    ...noticeLeaks(spec, data),
  ];
}

/** Accuracy is no objective where all candidates have the same; one candidate says nothing about that. */
function noticeAccuracy(spec: SearchStart, scores: readonly Score[]): string[] {
  const [first] = scores;
  if (!first || scores.some(({ correct, rows }) => correct !== first.correct || rows !== first.rows))
    return [];
  const { correct, rows } = first;
  const finding =
    correct === 0
      ? `no candidate has an answer right on ${rows} rows`
      : `every candidate has ${correct === rows ? 'all' : `${correct} of`} ${rows} answers right`;
  if (correct > 0 && scores.length === 1) return [];
  const limits = spec.require.filter((text) => parseConstraint(text).metric === 'accuracy');
  const advice = [
    ...(spec.quality === 'accuracy' ? ['search with --quality loss'] : []),
    ...(limits.length > 0 ? [`limit the loss ("loss<=max+0.1") instead of ${limits.join(', ')}`] : []),
  ];
  return [
    `${finding}: accuracy cannot tell them apart; ${advice.length > 0 ? advice.join(' and ') : 'the loss decides'}`,
  ];
}

function noticeCutAnswers(task: DatasetTask, scores: readonly Score[]): string[] {
  if (task.kind !== 'generation') return [];
  const answers = scores.reduce((sum, { rows }) => sum + rows, 0);
  const cut = scores.reduce((sum, { answersCut }) => sum + (answersCut ?? 0), 0);
  if (cut <= CUT_SHARE * answers) return [];
  return [
    `${Math.round((100 * cut) / answers)} % of the answers reached their limit of ${task.maxNewTokens} new tokens ` +
      'without an end: let the data allow more (--max-new-tokens at its import), or train with ends that come sooner',
  ];
}

function noticeSplits(
  spec: SearchStart,
  { dataset, rows: { score, final } }: { readonly dataset: Dataset; readonly rows: SearchRows },
): string[] {
  if (!hasFinalRound(spec))
    return [
      'no held-out rows were asked for: the scores shown are those that candidates were chosen by, and so too good',
    ];
  if (score.name !== final.name || score.name === 'all') return [];
  const missing = score.name === 'validation' ? 'test' : 'validation';
  return [
    `data set "${dataset.name}" has no ${missing} split: the final scores are of rows of its ${score.name} split ` +
      'that candidates were not compared on',
  ];
}

function noticeLeaks(
  spec: SearchStart,
  { dataset, rows: { score, final } }: { readonly dataset: Dataset; readonly rows: SearchRows },
): string[] {
  const used: string[] = hasFinalRound(spec) ? [score.name, final.name] : [score.name];
  return (dataset.report?.leaks ?? [])
    .filter(({ splits, rows }) => rows > 0 && splits.some((split) => used.includes(split)))
    .map(
      ({ splits, rows }) =>
        `the splits ${splits[0]} and ${splits[1]} of data set "${dataset.name}" share ${rows} ` +
        `${rows === 1 ? 'prompt' : 'prompts'}: scores on them are too good`,
    );
}
