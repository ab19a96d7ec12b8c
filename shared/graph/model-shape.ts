import { CodedError } from '../errors.js';
import { quoteValue } from '../weights/quote-value.js';
import type { TensorFile } from '../weights/tensor-file.js';

/** Families of decoder-only models; what their arithmetic differs in, `ModelShape` says by itself. */
export const architectures = ['llama', 'mistral', 'qwen2'] as const;
export type Architecture = (typeof architectures)[number];

/** Sizes of a decoder-only model of the Llama kind, and what its arithmetic has beside. */
export interface ModelShape {
  readonly architecture: Architecture;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  /** Key/value heads; `heads` is a multiple of it (grouped-query attention). */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly vocab: number;
  /** Rows of the rope tables: the longest sequence. */
  readonly positions: number;
  readonly rmsEpsilon: number;
  readonly ropeTheta: number;
  /** The output head is the embedding matrix. */
  readonly tiedHead: boolean;
  /** The q, k and v projections add a bias (Qwen2): `layers.i.q|k|v.bias` [out]. */
  readonly qkvBias?: true;
  /** Tokens that a query sees, itself the last of them; absent: all (Mistral). */
  readonly slidingWindow?: number;
  /** The config's own record of how the rope tables were scaled; for exports, the tables hold it. */
  readonly ropeScaling?: Readonly<Record<string, unknown>>;
}

/** Fields that a weight file of layout version 1 cannot have, because its readers ignored them. */
const secondVersionFields = ['qkvBias', 'slidingWindow', 'ropeScaling'] as const;

/** The lowest layout version that can express a shape: old agents read what they can compute. */
export function layoutVersionOf(shape: ModelShape): '1' | '2' {
  const plain =
    shape.architecture === 'llama' && secondVersionFields.every((key) => shape[key] === undefined);
  return plain ? '1' : '2';
}

/** The linear modules of a layer, in the order they are computed. */
export const moduleNames = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const;
export type ModuleName = (typeof moduleNames)[number];

/** Whether a module adds a bias to its products. */
export function hasBias(shape: ModelShape, module: ModuleName): boolean {
  return shape.qkvBias === true && (module === 'q' || module === 'k' || module === 'v');
}

/** [in, out] of a linear module at FFN width `width`. */
export function moduleDims(shape: ModelShape, module: ModuleName, width = shape.ffnWidth): [number, number] {
  const q = shape.heads * shape.headDim;
  const kv = shape.kvHeads * shape.headDim;
  switch (module) {
    case 'q':
      return [shape.hidden, q];
    case 'k':
    case 'v':
      return [shape.hidden, kv];
    case 'o':
      return [q, shape.hidden];
    case 'gate':
    case 'up':
      return [shape.hidden, width];
    case 'down':
      return [width, shape.hidden];
  }
}

/** Characters of a record: the fields of a shape, and a rope scaling with two factors for each of 128 rope frequencies. */
const MAX_RECORD = 16 * 1024;

const positiveIntegers = [
  'layers',
  'hidden',
  'heads',
  'kvHeads',
  'headDim',
  'ffnWidth',
  'vocab',
  'positions',
] as const;

/**
 * The shape recorded in a weight file.
 * @throws LAYOUT_VERSION for another layout, UNSUPPORTED_ARCHITECTURE for another kind of model,
 *   MODEL_CONFIG when the record is broken
 */
export function readModelShape(file: TensorFile): ModelShape {
  const version = file.metadata.layoutVersion;
  if (version !== '1' && version !== '2')
    throw new CodedError(
      'LAYOUT_VERSION',
      `weight file has layout version ${quoteValue(version)}, wanted 1 or 2`,
    );
  const { shape: text = '' } = file.metadata;
  let value: unknown;
  try {
    value = text.length > MAX_RECORD ? null : JSON.parse(text);
  } catch {
    value = null;
  }
  if (typeof value !== 'object' || value === null)
    throw new CodedError(
      'MODEL_CONFIG',
      `weight file records shape = ${quoteValue(text)}, wanted JSON of at most ${MAX_RECORD} characters`,
    );
  const record = value as Record<string, unknown>;
  const broken = (key: string, wanted: string): CodedError =>
    new CodedError(
      'MODEL_CONFIG',
      `weight file records ${key} = ${quoteValue(record[key])}, wanted ${wanted}`,
    );
  if (!architectures.some((one) => one === record.architecture))
    throw new CodedError(
      'UNSUPPORTED_ARCHITECTURE',
      `weight file is for ${quoteValue(record.architecture)}, wanted ${architectures.join(', ')}`,
    );
  for (const key of positiveIntegers) {
    const found = record[key];
    if (!Number.isInteger(found) || (found as number) < 1 || (found as number) > 2 ** 24)
      throw broken(key, 'a positive integer');
  }
  const shape = record as unknown as ModelShape;
  if (shape.heads % shape.kvHeads !== 0) throw broken('kvHeads', `a divisor of heads = ${shape.heads}`);
  for (const key of ['rmsEpsilon', 'ropeTheta'] as const)
    if (!(Number.isFinite(record[key]) && shape[key] > 0)) throw broken(key, 'a positive number');
  if (typeof record.tiedHead !== 'boolean') throw broken('tiedHead', 'true or false');
  if (record.qkvBias !== undefined && record.qkvBias !== true) throw broken('qkvBias', 'true or nothing');
  const window = shape.slidingWindow;
  if (window !== undefined && !(Number.isInteger(window) && window >= 1))
    throw broken('slidingWindow', 'a positive integer or nothing');
  if (version < layoutVersionOf(shape))
    throw new CodedError(
      'LAYOUT_VERSION',
      `weight file of layout version ${version} has a shape that only version ${layoutVersionOf(shape)} has`,
    );
  return shape;
}
