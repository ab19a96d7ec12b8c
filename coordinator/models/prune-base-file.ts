import { pruneBase, readPruning } from '@fleetlora/shared/compress';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { Runtime } from '@fleetlora/shared/runtime';
import { createTokenizer } from '@fleetlora/shared/text';
import { calibrateBase } from './calibrate-base.js';
import type { PruneBaseWork, PrunedBaseFacts } from './compression-work.js';
import { storeFile } from './make-files.js';
import { jsonCeilings, readStoredJson, withTensorFile } from './stored-files.js';

/** Stores a base file with the least important weights of a stored one set to 0. */
export async function pruneBaseFile(
  runtime: Runtime,
  store: FileContentStore,
  work: PruneBaseWork,
): Promise<PrunedBaseFacts> {
  const tokenizer = createTokenizer(
    await readStoredJson(store, work.tokenizerDigest, 'tokenizer.json', {
      ceiling: jsonCeilings.tokenizer,
      code: 'TOKENIZER',
    }),
  );
  const base = { store, digest: work.baseDigest };
  const { norms, rows } = await calibrateBase(runtime, base, tokenizer, store, work.calibration);
  const { datasetDigest } = work.calibration;
  const made = await withTensorFile(store, work.baseDigest, (file) =>
    storeFile(store, (sink) =>
      pruneBase(
        { file, digest: work.baseDigest },
        norms,
        { sparsity: work.sparsity, datasetDigest, rows },
        sink,
      ),
    ),
  );
  const pruning = await withTensorFile(store, made.digest, async (file) => readPruning(file));
  if (pruning === null) throw new CodedError('BUG', 'a pruned base file does not say how it was pruned');
  return { ...made, pruning };
}
