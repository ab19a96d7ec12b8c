import { CodedError } from '../errors.js';
import { readBaseLayout } from '../graph/base-layout.js';
import { type ModelShape, type ModuleName, moduleDims, moduleNames } from '../graph/model-shape.js';
import type { ByteSink } from '../runtime.js';
import { readFloats, requireTensor } from '../weights/read-values.js';
import type { TensorFile } from '../weights/tensor-file.js';
import { beginTensorFile, type TensorSink } from '../weights/tensor-sink.js';

/** Bytes that are copied at once. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** A linear module of a base. */
export interface ModulePlace {
  readonly layer: number;
  readonly module: ModuleName;
}

/**
 * Writes an fp32 base file anew with other weights in its linear modules; everything else, and the
 * order of tensors, channels and heads, is the same. One matrix at a time is in memory.
 * @param metadata what the new file says in place of, or beside, what the old one says; undefined
 *   leaves a record out
 * @param change takes the matrix as the file stores it, [out, in], of down [in, out]; it may change it
 * @throws MODEL_CONFIG for a quantised file; WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_DTYPE
 */
export async function rewriteBase(
  file: TensorFile,
  metadata: Readonly<Record<string, string | undefined>>,
  change: (place: ModulePlace, matrix: Float32Array, shape: ModelShape) => Promise<Float32Array>,
  sink: ByteSink,
): Promise<void> {
  const { shape, precision } = readBaseLayout(file);
  if (precision !== 'fp32')
    throw new CodedError('MODEL_CONFIG', `base file has precision ${precision}, wanted the fp32 one`);
  const modules = new Map<string, ModulePlace>();
  for (let layer = 0; layer < shape.layers; layer++)
    for (const module of moduleNames) {
      const name = `layers.${layer}.${module}`;
      requireTensor(file, name);
      modules.set(name, { layer, module });
    }
  const target = await beginCopy(file, metadata, sink);
  for (const name of file.tensors.keys()) {
    const place = modules.get(name);
    if (place === undefined) {
      await copyTensor(file, name, target);
      continue;
    }
    const [input, output] = moduleDims(shape, place.module);
    const dims = place.module === 'down' ? [input, output] : [output, input];
    await target.write(name, await change(place, await readFloats(file, name, dims), shape));
  }
  await target.end();
}

/** Begins a file of the same tensors with other metadata. */
export function beginCopy(
  file: TensorFile,
  changes: Readonly<Record<string, string | undefined>>,
  sink: ByteSink,
): Promise<TensorSink> {
  const specs = [...file.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const records = Object.entries({ ...file.metadata, ...changes });
  const metadata = Object.fromEntries(
    records.filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  return beginTensorFile(sink, specs, metadata, { alignment: 'page' });
}

/** Copies a tensor's bytes, a piece at a time. */
export async function copyTensor(file: TensorFile, name: string, target: TensorSink): Promise<void> {
  const { offset, bytes } = requireTensor(file, name);
  for (let done = 0; done < bytes; done += PIECE_BYTES)
    await target.write(name, await file.source.read(offset + done, Math.min(PIECE_BYTES, bytes - done)));
}

/** Writes a file with the same tensors and other metadata. */
export async function copyBase(
  file: TensorFile,
  changes: Readonly<Record<string, string | undefined>>,
  sink: ByteSink,
): Promise<void> {
  const target = await beginCopy(file, changes, sink);
  for (const name of file.tensors.keys()) await copyTensor(file, name, target);
  await target.end();
}
