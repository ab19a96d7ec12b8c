import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileContentStore, makeFolder, openFileSource } from '@fleetlora/shared/node';
import type { ByteSink } from '@fleetlora/shared/runtime';
import {
  dequantiseBase,
  type QuantPrecision,
  quantiseBase,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';

/** A weight file in a folder of its own. */
export interface PlacedBase {
  readonly folder: string;
  readonly fileName: string;
}

const DIGEST = /^[0-9a-f]{64}$/;

/**
 * The floats that a base has once it is quantised, as an fp32 base file inside `folder`: of its twin for
 * devices, or, of a base that has none yet, of one made the same way. What an earlier start of the run
 * left is used again.
 * @param contents `weightsAndSteps` for a masked training, which rounds to the base's numbers
 * @throws what quantiseBase throws, DISK_FULL
 */
export async function placeDequantisedBase(
  base: {
    readonly path: string;
    readonly digest: string;
    /** Of the twin; null without one. */
    readonly quantisedPath: string | null;
  },
  precision: QuantPrecision,
  folder: string,
  contents: 'weights' | 'weightsAndSteps' = 'weights',
): Promise<PlacedBase> {
  const dequantise = (file: TensorFile, sink: ByteSink): Promise<void> =>
    dequantiseBase(file, sink, contents);
  const floats = join(folder, 'dequantised');
  const packed = join(folder, 'quantised');
  await makeFolder(floats);
  const [done] = (await readdir(floats)).filter((name) => DIGEST.test(name));
  if (done) return { folder: floats, fileName: done };
  if (base.quantisedPath !== null)
    return { folder: floats, fileName: await rewrite(base.quantisedPath, floats, dequantise) };
  await rm(packed, { recursive: true, force: true });
  await makeFolder(packed);
  try {
    const quantised = await rewrite(base.path, packed, (file, sink) =>
      quantiseBase({ file, digest: base.digest }, precision, sink),
    );
    const fileName = await rewrite(join(packed, quantised), floats, dequantise);
    return { folder: floats, fileName };
  } finally {
    await rm(packed, { recursive: true, force: true });
  }
}

/** Stores what `write` makes of a weight file in `folder`; returns its name there. */
async function rewrite(
  path: string,
  folder: string,
  write: (file: TensorFile, sink: Awaited<ReturnType<Store['begin']>>) => Promise<void>,
): Promise<string> {
  const source = await openFileSource(path);
  const writer = await (await createFileContentStore(folder)).begin();
  try {
    await write(await readTensorFile(source), writer);
    return await writer.finish();
  } finally {
    await writer.discard();
    await source.close();
  }
}

type Store = Awaited<ReturnType<typeof createFileContentStore>>;
