import {
  copyBase,
  type MergeSource,
  mergeBase,
  mergeQuantised,
  readMerge,
  readPruning,
} from '@fleetlora/shared/compress';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { BaseFiles } from '@fleetlora/shared/protocol';
import type { Runtime } from '@fleetlora/shared/runtime';
import { decodeGenome } from '@fleetlora/shared/space';
import {
  dequantiseBase,
  type QuantPrecision,
  quantiseBase,
  type TensorFile,
} from '@fleetlora/shared/weights';
import type { MergeAdapterWork, MergedBaseFacts } from './compression-work.js';
import { storeFile, withScratch } from './make-files.js';
import { withTensorFile } from './stored-files.js';

/** Stores the files of a base into which a candidate of a super-adapter is merged. */
export async function mergeAdapterFile(
  runtime: Runtime,
  store: FileContentStore,
  work: MergeAdapterWork,
): Promise<MergedBaseFacts> {
  const files =
    work.into === 'fp32'
      ? await mergeFloats(runtime, store, work)
      : await mergeNumbers(runtime, store, work, work.into);
  return withTensorFile(store, files.fp32.digest, async (file) => {
    const merged = readMerge(file);
    if (merged === null) throw new CodedError('BUG', 'a merged base file does not say what was merged');
    return { files, merged, pruning: readPruning(file) };
  });
}

async function mergeFloats(
  runtime: Runtime,
  store: FileContentStore,
  work: MergeAdapterWork,
): Promise<BaseFiles> {
  const fp32 = await withSource(store, store, work.base.fp32, work, (source) =>
    storeFile(store, (sink) => mergeBase(runtime, source, sink)),
  );
  return { fp32 };
}

/**
 * A merged quantised file, with the fp32 file of the same weights, which every base has. The quantised one
 * names the fp32 one, so it is made first, and again with that name.
 */
async function mergeNumbers(
  runtime: Runtime,
  store: FileContentStore,
  work: MergeAdapterWork,
  into: QuantPrecision,
): Promise<BaseFiles> {
  return withScratch(work.incomingFolder, async (scratch) => {
    const known = work.base[into];
    const owner = known === undefined ? scratch : store;
    const digest =
      known ??
      (
        await withTensorFile(store, work.base.fp32, (file) =>
          storeFile(scratch, (sink) => quantiseBase({ file, digest: work.base.fp32 }, into, sink)),
        )
      ).digest;
    const merged = await withSource(store, owner, digest, work, (source) =>
      storeFile(scratch, (sink) => mergeQuantised(runtime, source, sink)),
    );
    return withTensorFile(scratch, merged.digest, async (file: TensorFile) => {
      const fp32 = await storeFile(store, (sink) => dequantiseBase(file, sink));
      const numbers = await storeFile(store, (sink) =>
        copyBase(file, { sourceBaseDigest: fp32.digest }, sink),
      );
      return { fp32, [into]: numbers };
    });
  });
}

/** Opens the files that a candidate is merged from. */
function withSource<T>(
  store: FileContentStore,
  baseStore: FileContentStore,
  baseDigest: string,
  { adapterDigest, genome }: MergeAdapterWork,
  use: (source: MergeSource) => Promise<T>,
): Promise<T> {
  return withTensorFile(baseStore, baseDigest, (base) =>
    withTensorFile(store, adapterDigest, (adapter) =>
      use({ base, baseDigest, adapter, adapterDigest, genome: decodeGenome(genome) }),
    ),
  );
}
