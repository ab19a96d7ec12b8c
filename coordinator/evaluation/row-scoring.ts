import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  buildPackage,
  type CandidateModel,
  expandPackage,
  openScorer,
  type RowScore,
  type Scorer,
} from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import { readModelShape, type WeightFile } from '@fleetlora/shared/graph';
import { openFileSource } from '@fleetlora/shared/node';
import type { Runtime } from '@fleetlora/shared/runtime';
import { decodeGenome, type Genome } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import { type AnswerScorer, createAnswerScorer } from './answer-scorer.js';
import { judgeAnswers } from './judge-answers.js';
import { loadScorer } from './load-scorer.js';
import type { RowSet, ScoreRequest, WorkerSettings } from './ports.js';
import { recent } from './recent.js';
import { type LoadedRows, loadRows, requireContent } from './row-sets.js';

/** A super-adapter at work and one that is being searched next to it. */
const MODELS_KEPT = 2;
/** Cheap and final rows of two searches. */
const ROW_SETS_KEPT = 4;
/** Of two searches; each may hold a process. */
const ANSWER_SCORERS_KEPT = 2;

interface OpenModel {
  readonly scorer: Scorer;
  readonly base: WeightFile;
  readonly adapter: WeightFile;
  /** Tokens that end an answer; the first ends a row. */
  readonly stopIds: readonly [number, ...number[]];
  readonly positions: number;
}
/** A candidate as files, and the request it came with. */
interface Candidate {
  readonly baseDigest: string;
  readonly adapterDigest: string;
  readonly genome: Genome;
}

/**
 * What a thread does: opens super-adapters and encodes rows from the content folder, keeps the
 * last few of both, and scores.
 */
export function createRowScoring(
  runtime: Runtime,
  settings: WorkerSettings,
): { score(request: ScoreRequest): Promise<RowScore[]> } {
  const { contentFolder: folder, threads } = settings;
  const openModels = recent<OpenModel>(MODELS_KEPT, ({ scorer }) => scorer.close());
  const rowSets = recent<LoadedRows>(ROW_SETS_KEPT);
  const answerScorers = recent<AnswerScorer>(ANSWER_SCORERS_KEPT, async (scorer) => scorer.close());

  /** Opens a weight file for as long as `use` takes: sessions map it by themselves. */
  const withWeights = async <T>(digest: string, use: (weights: WeightFile) => Promise<T>): Promise<T> => {
    await requireContent(folder, digest);
    const source = await openFileSource(join(folder, digest));
    try {
      return await use({ fileName: digest, file: await readTensorFile(source) });
    } finally {
      await source.close();
    }
  };

  const openModel = (baseDigest: string, adapterDigest: string): Promise<OpenModel> =>
    withWeights(baseDigest, (base) =>
      withWeights(adapterDigest, async (adapter) => ({
        stopIds: stopIdsOf(base),
        positions: readModelShape(base.file).positions,
        scorer: await openScorer(runtime, { folder, base, adapter, threads }),
        base,
        adapter,
      })),
    );

  /** Sessions map files of the content folder, so the expanded package lies there while it is scored. */
  const withPackage = async <T>(
    { base }: OpenModel,
    candidate: Candidate,
    use: (model: CandidateModel) => Promise<T>,
  ): Promise<T> => {
    const bytes = await withWeights(candidate.baseDigest, ({ file }) =>
      withWeights(candidate.adapterDigest, (adapter) =>
        buildPackage(runtime, { base: file, adapter: adapter.file, ...candidate }),
      ),
    );
    const expanded = await expandPackage(await readTensorFile(bufferSource(bytes)));
    const fileName = `${randomUUID()}.part`;
    try {
      await writeFile(join(folder, fileName), expanded);
      const overlay = { fileName, file: await readTensorFile(bufferSource(expanded)) };
      return await use({ folder, base, overlay, genome: candidate.genome });
    } finally {
      await rm(join(folder, fileName), { force: true });
    }
  };

  /** The candidate over the super-adapter's slices. Its form changes nothing but rounding. */
  const slicesOf = ({ base, adapter }: OpenModel, { genome }: Candidate): CandidateModel => ({
    folder,
    base,
    overlay: adapter,
    genome: { ...genome, form: 'unmerged' },
  });

  /** The answers of a set that asks for some, judged; else the scores as they are. */
  const judge = async (
    model: OpenModel,
    files: CandidateModel,
    rows: { readonly set: RowSet; readonly loaded: LoadedRows } | null,
    scores: RowScore[],
  ): Promise<RowScore[]> => {
    if (rows === null || rows.set.task.kind !== 'generation') return scores;
    const { scorer, maxNewTokens } = rows.set.task;
    const answerScorer = await answerScorers(JSON.stringify(scorer), async () =>
      createAnswerScorer(await loadScorer(scorer, folder)),
    );
    const { stopIds, positions } = model;
    const options = { maxNewTokens, stopIds, positions, threads, scorer: answerScorer };
    return judgeAnswers(runtime, files, rows.loaded, scores, options);
  };

  return {
    async score({ baseDigest, adapterDigest, genome, rows, numbers }) {
      const candidate = { baseDigest, adapterDigest, genome: decodeGenome(genome) };
      const model = await openModels(`${baseDigest} ${adapterDigest}`, () =>
        openModel(baseDigest, adapterDigest),
      );
      const { scorer, stopIds, positions } = model;
      const named = isRowSet(rows)
        ? {
            set: rows,
            // Encoded alike whatever the precision of the base.
            loaded: await rowSets(JSON.stringify([stopIds[0], positions, rows]), () =>
              loadRows(folder, rows, { stopId: stopIds[0], positions }),
            ),
          }
        : null;
      const encoded = named?.loaded.encoded ?? (rows as readonly TokenRow[]);
      if (numbers === 'package')
        return withPackage(model, candidate, async (files) =>
          judge(model, files, named, await scorer.scoreModel(files, encoded)),
        );
      return judge(model, slicesOf(model, candidate), named, await scorer.score(candidate.genome, encoded));
    },
  };
}

const isRowSet = (rows: ScoreRequest['rows']): rows is RowSet => 'datasetDigest' in rows;

function stopIdsOf(base: WeightFile): [number, ...number[]] {
  const stopIds: unknown = JSON.parse(base.file.metadata.stopIds ?? 'null');
  if (!Array.isArray(stopIds) || stopIds.length === 0 || stopIds.some((id) => typeof id !== 'number'))
    throw new CodedError(
      'MODEL_CONFIG',
      `base ${base.fileName} has stopIds ${base.file.metadata.stopIds ?? '(none)'}, wanted a list of token ids`,
    );
  return stopIds as [number, ...number[]];
}
