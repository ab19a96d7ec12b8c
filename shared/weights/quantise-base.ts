import { CodedError } from '../errors.js';
import { quantBlock, readBaseLayout } from '../graph/base-layout.js';
import { hasBias, type ModelShape, moduleDims, moduleNames } from '../graph/model-shape.js';
import type { ByteSink } from '../runtime.js';
import type { TensorSpec } from './encode-tensor-file.js';
import { transpose } from './permute.js';
import { type QuantPrecision, quantBlockBytes, quantiseBlocks, tablePrecisions } from './quantise.js';
import { requireTensor } from './read-values.js';
import type { TensorFile } from './tensor-file.js';
import { beginTensorFile, type TensorSink } from './tensor-sink.js';

/** Weights read at once: 4 MiB of F32. */
const PIECE_VALUES = 1024 * 1024;

/** A quantised matrix [rows, columns] and where its weights come from. */
interface QuantisedPlan {
  readonly name: string;
  readonly precision: QuantPrecision;
  readonly rows: number;
  readonly columns: number;
  readonly from:
    | { readonly kind: 'rows'; readonly tensor: string }
    /** Columns `first` on of a matrix [rows, `stored`]. */
    | { readonly kind: 'columns'; readonly tensor: string; readonly first: number; readonly stored: number }
    /** Rows `first` on of a matrix [stored, rows], transposed. */
    | { readonly kind: 'transposed'; readonly tensor: string; readonly first: number };
}

/**
 * Shares of the FFN width that a base is cut to without taking a chunk apart.
 * @source LoNAS, LREC-COLING 2024 main 940: FFN width in five steps from 100 to 50 %
 */
const cutPercents = [50, 62.5, 75, 87.5, 100];

/**
 * Numbers of FFN channels that down is stored by: half and four eighths, in whole blocks, and cuts at
 * further shares. Other widths can be had as well: a session then copies the part of a chunk it needs.
 * @param percents shares of the width that a search space offers
 */
export function chooseChunks(ffnWidth: number, percents: readonly number[] = []): number[] {
  const blocks = [...cutPercents, ...percents].map((percent) =>
    Math.ceil((ffnWidth * percent) / 100 / quantBlock),
  );
  const ends = [...new Set(blocks)].sort((a, b) => a - b);
  return ends.map((end, index) => (end - (ends[index - 1] ?? 0)) * quantBlock);
}

/**
 * Writes the quantised twin of an fp32 base file: the same channels and heads in the same order, so
 * that adapters of the one fit the other. One matrix at most, or a chunk of it, is in memory.
 * @param base.digest of the fp32 file
 * @param ffnChunks numbers of FFN channels that down is stored by; together all of them
 * @throws MODEL_CONFIG when the base is quantised already, or chunks do not fit it
 * @throws UNSUPPORTED_ARCHITECTURE when a side is not a multiple of 32; WEIGHT_*
 */
export async function quantiseBase(
  base: { readonly file: TensorFile; readonly digest: string },
  precision: QuantPrecision,
  sink: ByteSink,
  ffnChunks?: readonly number[],
): Promise<void> {
  const { file, digest } = base;
  const layout = readBaseLayout(file);
  const { shape } = layout;
  if (layout.precision !== 'fp32')
    throw new CodedError(
      'MODEL_CONFIG',
      `base file has precision ${layout.precision}, wanted the fp32 one that it was made of`,
    );
  checkSides(shape);
  const chunks = ffnChunks ?? chooseChunks(shape.ffnWidth);
  const metadata = {
    ...file.metadata,
    layoutVersion: '2',
    precision,
    tablePrecision: tablePrecisions[precision],
    ffnChunks: JSON.stringify(chunks),
    sourceBaseDigest: digest,
  };
  // What readers of the file will demand of it is demanded before hours of work.
  readBaseLayout({ ...file, metadata });
  const plans = planMatrices(shape, precision, chunks);
  const kept = keptTensors(file, shape);
  const tensors = await beginTensorFile(sink, [...plans.flatMap(specsOf), ...kept], metadata, {
    alignment: 'page',
  });
  for (const plan of plans) await writeQuantised(file, plan, tensors);
  for (const { name } of kept) await copyRaw(file, name, tensors);
  await tensors.end();
}

function checkSides(shape: ModelShape): void {
  const sides = {
    hidden: shape.hidden,
    ffnWidth: shape.ffnWidth,
    'query heads of a key/value head': (shape.heads / shape.kvHeads) * shape.headDim,
  };
  for (const [name, side] of Object.entries(sides))
    if (side % quantBlock !== 0)
      throw new CodedError(
        'UNSUPPORTED_ARCHITECTURE',
        `${name} of the model is ${side}, to be quantised it must be a multiple of ${quantBlock}`,
      );
}

/** Every matrix of the file, in file order. */
function planMatrices(
  shape: ModelShape,
  precision: QuantPrecision,
  chunks: readonly number[],
): QuantisedPlan[] {
  const { vocab, hidden, heads, kvHeads, headDim } = shape;
  const plans: QuantisedPlan[] = [];
  for (const name of shape.tiedHead ? ['embed'] : ['embed', 'head'])
    plans.push({
      name,
      precision: tablePrecisions[precision],
      rows: vocab,
      columns: hidden,
      from: { kind: 'rows', tensor: name },
    });
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const module of moduleNames) {
      const [columns, rows] = moduleDims(shape, module);
      const tensor = `layers.${layer}.${module}`;
      const isO = module === 'o';
      if (!isO && module !== 'down') {
        plans.push({ name: tensor, precision, rows, columns, from: { kind: 'rows', tensor } });
        continue;
      }
      const sizes = isO ? Array.from({ length: kvHeads }, () => (heads / kvHeads) * headDim) : chunks;
      let first = 0;
      sizes.forEach((size, chunk) => {
        const from = isO
          ? ({ kind: 'columns', tensor, first, stored: columns } as const)
          : ({ kind: 'transposed', tensor, first } as const);
        plans.push({ name: `${tensor}.${chunk}`, precision, rows, columns: size, from });
        first += size;
      });
    }
  }
  return plans;
}

function specsOf({ name, precision, rows, columns }: QuantisedPlan): TensorSpec[] {
  const blocks = columns / quantBlock;
  return [
    { name: `${name}.q`, dtype: 'U8', shape: [rows, blocks, quantBlockBytes(precision)] },
    { name: `${name}.scale`, dtype: 'F32', shape: [rows, blocks] },
  ];
}

/** Norms, biases, rope tables and orders: as they are, and so is what else is stored beside the matrices. */
function keptTensors(file: TensorFile, shape: ModelShape): TensorSpec[] {
  const matrices = new Set(['embed', 'head']);
  for (let layer = 0; layer < shape.layers; layer++)
    for (const module of moduleNames) {
      matrices.add(`layers.${layer}.${module}`);
      if (hasBias(shape, module)) requireTensor(file, `layers.${layer}.${module}.bias`);
    }
  return [...file.tensors]
    .filter(([name]) => !matrices.has(name))
    .map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
}

async function writeQuantised(file: TensorFile, plan: QuantisedPlan, target: TensorSink): Promise<void> {
  const blocksOfRow = plan.columns / quantBlock;
  const scales = new Float32Array(plan.rows * blocksOfRow);
  await forEachPiece(file, plan, async (values, firstRow) => {
    const { q, scale } = quantiseBlocks(values, plan.precision);
    scales.set(scale, firstRow * blocksOfRow);
    await target.write(`${plan.name}.q`, q);
  });
  await target.write(`${plan.name}.scale`, scales);
}

/** Rows of a planned matrix, some at a time. */
async function forEachPiece(
  file: TensorFile,
  { rows, columns, from }: QuantisedPlan,
  use: (values: Float32Array, firstRow: number) => Promise<void>,
): Promise<void> {
  if (from.kind === 'transposed') {
    const channels = await readMatrixRows(file, from.tensor, [null, rows], from.first, columns);
    await use(transpose(channels, columns, rows), 0);
    return;
  }
  const stored = from.kind === 'rows' ? columns : from.stored;
  const atOnce = Math.max(1, Math.floor(PIECE_VALUES / stored));
  for (let firstRow = 0; firstRow < rows; firstRow += atOnce) {
    const count = Math.min(atOnce, rows - firstRow);
    const values = await readMatrixRows(file, from.tensor, [rows, stored], firstRow, count);
    if (from.kind === 'rows') await use(values, firstRow);
    else {
      const cut = new Float32Array(count * columns);
      for (let row = 0; row < count; row++) {
        const start = row * stored + from.first;
        cut.set(values.subarray(start, start + columns), row * columns);
      }
      await use(cut, firstRow);
    }
  }
}

/**
 * Some rows of a stored F32 matrix.
 * @param dims what it must have; null where any number of rows will do that holds those asked for
 */
async function readMatrixRows(
  file: TensorFile,
  name: string,
  [wantedRows, columns]: readonly [number | null, number],
  first: number,
  rows: number,
): Promise<Float32Array> {
  const entry = requireTensor(file, name);
  const [storedRows = 0, storedColumns = 0] = entry.shape;
  if (entry.dtype !== 'F32')
    throw new CodedError('WEIGHT_DTYPE', `tensor "${name}" has dtype ${entry.dtype}, wanted F32`);
  if (
    entry.shape.length !== 2 ||
    storedColumns !== columns ||
    (wantedRows !== null && storedRows !== wantedRows) ||
    first + rows > storedRows
  )
    throw new CodedError(
      'WEIGHT_SHAPE',
      `tensor "${name}" has shape [${entry.shape.join(', ')}], wanted [${wantedRows ?? first + rows}, ${columns}]`,
    );
  const bytes = await file.source.read(entry.offset + 4 * first * columns, 4 * rows * columns);
  // A view of four-byte values must start at such an address.
  const own = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(own.buffer, own.byteOffset, rows * columns);
}

async function copyRaw(file: TensorFile, name: string, target: TensorSink): Promise<void> {
  const { offset, bytes } = requireTensor(file, name);
  for (let done = 0; done < bytes; done += 4 * PIECE_VALUES)
    await target.write(name, await file.source.read(offset + done, Math.min(4 * PIECE_VALUES, bytes - done)));
}
