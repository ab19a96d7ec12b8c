import { CodedError } from '../errors.js';
import { type ModelSource, sourceTensors } from './model-source.js';

/** Values read at once: 4 MiB of F32. */
const CHUNK_VALUES = 1024 * 1024;

function dimsOf(source: ModelSource, name: string): readonly [rows: number, columns: number] {
  const dims = sourceTensors(source.config.shape).get(name);
  if (!dims) throw new CodedError('BUG', `no model has a tensor named "${name}"`);
  return [dims[0] as number, dims[1] ?? 1];
}

/**
 * Goes through a tensor a few rows at a time, in whole heads where it has heads.
 * @param use takes the rows' values, which it may change, and the number of the first row
 */
export async function forEachRows(
  source: ModelSource,
  name: string,
  use: (values: Float32Array, first: number) => Promise<void> | void,
): Promise<void> {
  const [rows, columns] = dimsOf(source, name);
  const { headDim } = source.config.shape;
  const step = /\.[qkv](\.bias)?$/.test(name) ? headDim : 1;
  const atOnce = Math.max(1, Math.floor(CHUNK_VALUES / (columns * step))) * step;
  for (let first = 0; first < rows; first += atOnce)
    await use(await source.readRows(name, first, Math.min(atOnce, rows - first)), first);
}

/**
 * Reads all of a matrix into `whole`, row-major, in pieces: what a source needs beside the values
 * it widens, it then needs for a piece only.
 */
export async function readInto(whole: Float32Array, source: ModelSource, name: string): Promise<void> {
  const [, columns] = dimsOf(source, name);
  await forEachRows(source, name, (values, first) => whole.set(values, first * columns));
}
