import { availableParallelism } from 'node:os';
import { type InputNorms, measureInputs } from '@fleetlora/shared/compress';
import { readModelShape } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import type { Runtime } from '@fleetlora/shared/runtime';
import { encodeRow, type Tokenizer } from '@fleetlora/shared/text';
import type { TensorFile } from '@fleetlora/shared/weights';
import type { CalibrationRows } from './compression-work.js';
import { readRowsFile } from './read-rows.js';
import { withTensorFile } from './stored-files.js';

/** Tokens of a row that are looked at. @source Wanda (arXiv 2306.11695) section 4 */
const ROW_TOKENS = 2048;
/** The same rows for the same data set, whatever their order in it. */
const SAMPLE_SEED = 0;

export interface CalibratedBase {
  readonly norms: InputNorms;
  /** How many there were. */
  readonly rows: number;
}

/**
 * What goes into the linear modules of a stored base on rows of a data set.
 * @param base.store that holds the base file
 * @param rowStore that holds the rows
 * @throws what measureInputs and encodeRow throw
 */
export async function calibrateBase(
  runtime: Runtime,
  base: { readonly store: FileContentStore; readonly digest: string },
  tokenizer: Tokenizer,
  rowStore: FileContentStore,
  { datasetDigest, rows }: CalibrationRows,
): Promise<CalibratedBase> {
  const stored = await readRowsFile(rowStore.pathOf(datasetDigest));
  const chosen = createRandom(SAMPLE_SEED).shuffle(stored).slice(0, rows);
  return withTensorFile(base.store, base.digest, async (file) => {
    const maxTokens = Math.min(ROW_TOKENS, readModelShape(file).positions);
    const encoded = chosen.map((row) => encodeRow(tokenizer, row, { stopId: stopIdOf(file), maxTokens }));
    const norms = await measureInputs(
      runtime,
      { folder: base.store.folder, base: { fileName: base.digest, file } },
      encoded,
      { threads: availableParallelism() },
    );
    return { norms, rows: encoded.length };
  });
}

function stopIdOf({ metadata }: TensorFile): number {
  const [stopId = 0] = JSON.parse(metadata.stopIds ?? '[0]') as number[];
  return stopId;
}
