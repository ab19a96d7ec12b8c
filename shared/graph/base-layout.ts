import { CodedError } from '../errors.js';
import { type Precision, precisions } from '../space/genome.js';
import { quoteValue } from '../weights/quote-value.js';
import type { TensorFile } from '../weights/tensor-file.js';
import { type ModelShape, readModelShape } from './model-shape.js';

/** Inputs that share one scale in a quantised matrix; kernels and llama.cpp agree on it. */
export const quantBlock = 32;

/**
 * How a base file stores the linear layers of its model.
 *
 * fp32: `layers.i.m` F32 as `moduleDims` says, q, k, v, o, gate and up [out, in], down [in, out].
 *
 * q8 and q4: each matrix as `NAME.q` U8 [out, in / 32, 32 · bits / 8], the bytes that MatMulNBits
 * takes (q4: the even input in the low half), and `NAME.scale` F32 [out, in / 32]; the weight is
 * scale · (stored - 2^(bits - 1)). Rows can be cut to a prefix in place. A cut of the inputs is
 * a cut of chunks, each a matrix of its own: `layers.i.down.c` covers FFN channels
 * `ffnChunks[0] + … + ffnChunks[c - 1]` on, `ffnChunks[c]` of them; `layers.i.o.c` covers the query
 * heads of key/value head c. The embedding is `embed.q` and `embed.scale`, and so is an untied
 * `head`, both in `tablePrecision`; norms, biases and rope tables stay F32.
 * @source com.microsoft.MatMulNBits and GatherBlockQuantized, ONNX Runtime 1.30
 */
export interface BaseLayout {
  readonly shape: ModelShape;
  readonly precision: Precision;
  /** Of the embedding, and of a head of its own; a quantised file that does not say has `precision` there too. */
  readonly tablePrecision: Precision;
  /** Numbers of FFN channels, together `ffnWidth`; each a multiple of 32. Empty for fp32. */
  readonly ffnChunks: readonly number[];
  /** SHA-256 of the fp32 base file that a quantised one was made of; null for fp32. */
  readonly sourceBaseDigest: string | null;
}

/**
 * The layout recorded in a base file.
 * @throws what readModelShape throws; MODEL_CONFIG when precision or chunks are impossible
 */
export function readBaseLayout(file: TensorFile): BaseLayout {
  const shape = readModelShape(file);
  const { precision = 'fp32', tablePrecision = precision, ffnChunks, sourceBaseDigest } = file.metadata;
  const known = parsePrecision('precision', precision);
  if (known === 'fp32')
    return { shape, precision: known, tablePrecision: known, ffnChunks: [], sourceBaseDigest: null };
  if (!/^[0-9a-f]{64}$/.test(sourceBaseDigest ?? ''))
    throw new CodedError('MODEL_CONFIG', `weight file of precision ${known} does not name its fp32 base`);
  const tables = parsePrecision('tablePrecision', tablePrecision);
  if (tables === 'fp32')
    throw new CodedError(
      'MODEL_CONFIG',
      `weight file of precision ${known} records tablePrecision "fp32", wanted a quantised one`,
    );
  return {
    shape,
    precision: known,
    tablePrecision: tables,
    ffnChunks: parseChunks(ffnChunks, shape.ffnWidth),
    sourceBaseDigest: sourceBaseDigest ?? null,
  };
}

function parsePrecision(key: string, text: string): Precision {
  const known = precisions.find((one) => one === text);
  if (known === undefined)
    throw new CodedError(
      'MODEL_CONFIG',
      `weight file records ${key} "${text.slice(0, 40)}", wanted ${precisions.join(', ')}`,
    );
  return known;
}

/** Characters of a list of a thousand chunks. */
const MAX_CHUNKS_TEXT = 8 * 1024;

function parseChunks(text: string | undefined, ffnWidth: number): number[] {
  let chunks: unknown;
  try {
    chunks = text === undefined || text.length > MAX_CHUNKS_TEXT ? null : JSON.parse(text);
  } catch {
    chunks = null;
  }
  const good =
    Array.isArray(chunks) &&
    chunks.length > 0 &&
    chunks.every((size) => Number.isInteger(size) && size > 0 && size % quantBlock === 0) &&
    chunks.reduce((sum: number, size: number) => sum + size, 0) === ffnWidth;
  if (!good)
    throw new CodedError(
      'MODEL_CONFIG',
      `weight file records ffnChunks = ${quoteValue(text)}, wanted multiples of ${quantBlock} that sum to ${ffnWidth}`,
    );
  return chunks as number[];
}
