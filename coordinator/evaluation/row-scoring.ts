import { randomUUID } from 'node:crypto';
import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  buildPackage,
  expandPackage,
  openScorer,
  type RowScore,
  type Scorer,
} from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import type { WeightFile } from '@fleetlora/shared/graph';
import { openFileSource } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import type { Runtime } from '@fleetlora/shared/runtime';
import { decodeGenome, type Genome } from '@fleetlora/shared/space';
import { createTokenizer, encodeRow, parseRows, type TokenRow } from '@fleetlora/shared/text';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import type { RowSet, ScoreRequest, WorkerSettings } from './ports.js';
import { recent } from './recent.js';

/** A super-adapter at work and one that is being searched next to it. */
const SCORERS_KEPT = 2;
/** Cheap and final rows of two searches. */
const ROW_SETS_KEPT = 4;

interface OpenModel {
  readonly scorer: Scorer;
  readonly base: WeightFile;
  /** Token that ends a row; the base's first. */
  readonly stopId: number;
}

/**
 * What a thread does: opens super-adapters and encodes rows from the content folder, keeps the
 * last few of both, and scores.
 */
export function createRowScoring(
  runtime: Runtime,
  settings: WorkerSettings,
): { score(request: ScoreRequest): Promise<RowScore[]> } {
  const openModels = recent<OpenModel>(SCORERS_KEPT, ({ scorer }) => scorer.close());
  const rowSets = recent<TokenRow[]>(ROW_SETS_KEPT);
  const pathOf = (digest: string): string => join(settings.contentFolder, digest);

  /** Opens a weight file for as long as `use` takes: sessions map it by themselves. */
  const withWeights = async <T>(digest: string, use: (weights: WeightFile) => Promise<T>): Promise<T> => {
    await requireContent(pathOf(digest), digest);
    const source = await openFileSource(pathOf(digest));
    try {
      return await use({ fileName: digest, file: await readTensorFile(source) });
    } finally {
      await source.close();
    }
  };

  const openModel = (baseDigest: string, adapterDigest: string): Promise<OpenModel> =>
    withWeights(baseDigest, (base) =>
      withWeights(adapterDigest, async (adapter) => {
        const stopId = firstStopId(base);
        const { contentFolder: folder, threads } = settings;
        return { scorer: await openScorer(runtime, { folder, base, adapter, threads }), base, stopId };
      }),
    );

  const encodeRows = async (set: RowSet, stopId: number): Promise<TokenRow[]> => {
    await requireContent(pathOf(set.datasetDigest), set.datasetDigest);
    await requireContent(pathOf(set.tokenizerDigest), set.tokenizerDigest);
    const tokenizer = createTokenizer(JSON.parse(await readFile(pathOf(set.tokenizerDigest), 'utf8')));
    const rows = parseRows(await readFile(pathOf(set.datasetDigest), 'utf8'));
    const ordered = set.seed === null ? rows : createRandom(set.seed).shuffle(rows);
    const wanted = ordered.slice(set.skip, set.skip + set.take);
    if (wanted.length < set.take)
      throw new CodedError(
        'BAD_REQUEST',
        `the data set has ${rows.length} rows, rows ${set.skip} to ${set.skip + set.take - 1} were wanted`,
      );
    return wanted.map((row) => encodeRow(tokenizer, row, { stopId, maxTokens: set.maxTokens }));
  };

  return {
    async score({ baseDigest, adapterDigest, genome, rows, numbers }) {
      const decoded = decodeGenome(genome);
      const model = await openModels(`${baseDigest} ${adapterDigest}`, () =>
        openModel(baseDigest, adapterDigest),
      );
      const encoded = isRowSet(rows)
        ? await rowSets(JSON.stringify([baseDigest, rows]), () => encodeRows(rows, model.stopId))
        : rows;
      return numbers === 'package'
        ? scorePackage(model, { baseDigest, adapterDigest, genome: decoded }, encoded)
        : model.scorer.score(decoded, encoded);
    },
  };

  /** Sessions map files of the content folder, so the expanded package lies there while it is scored. */
  async function scorePackage(
    { base, scorer }: OpenModel,
    candidate: { readonly baseDigest: string; readonly adapterDigest: string; readonly genome: Genome },
    rows: readonly TokenRow[],
  ): Promise<RowScore[]> {
    const { contentFolder: folder } = settings;
    const { baseDigest, adapterDigest, genome } = candidate;
    const bytes = await withWeights(baseDigest, ({ file }) =>
      withWeights(adapterDigest, (adapter) =>
        buildPackage(runtime, { base: file, adapter: adapter.file, ...candidate }),
      ),
    );
    const expanded = await expandPackage(await readTensorFile(bufferSource(bytes)));
    const fileName = `${randomUUID()}.part`;
    try {
      await writeFile(join(folder, fileName), expanded);
      const overlay = { fileName, file: await readTensorFile(bufferSource(expanded)) };
      return await scorer.scoreModel({ folder, base, overlay, genome }, rows);
    } finally {
      await rm(join(folder, fileName), { force: true });
    }
  }
}

const isRowSet = (rows: ScoreRequest['rows']): rows is RowSet => 'datasetDigest' in rows;

async function requireContent(path: string, digest: string): Promise<void> {
  try {
    await access(path);
  } catch (cause) {
    throw new CodedError('NOT_FOUND', `content ${digest} is not in the content folder`, { cause });
  }
}

function firstStopId(base: WeightFile): number {
  const stopIds: unknown = JSON.parse(base.file.metadata.stopIds ?? 'null');
  const first: unknown = Array.isArray(stopIds) ? stopIds[0] : undefined;
  if (typeof first !== 'number')
    throw new CodedError(
      'MODEL_CONFIG',
      `base ${base.fileName} has stopIds ${base.file.metadata.stopIds ?? '(none)'}, wanted a list of token ids`,
    );
  return first;
}
