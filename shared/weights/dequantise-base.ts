import { CodedError } from '../errors.js';
import { quantBlock, readBaseLayout } from '../graph/base-layout.js';
import { moduleDims, moduleNames } from '../graph/model-shape.js';
import { stepsName } from '../graph/training-masked.js';
import type { ByteSink } from '../runtime.js';
import type { TensorSpec } from './encode-tensor-file.js';
import { transpose } from './permute.js';
import { dequantiseBlocks, type QuantPrecision, quantBlockBytes } from './quantise.js';
import { readBytes, readFloats } from './read-values.js';
import type { TensorFile } from './tensor-file.js';
import { beginTensorFile, type TensorSink } from './tensor-sink.js';

/** A matrix of an fp32 file and the quantised ones it is joined from, along its inputs. */
interface JoinedMatrix {
  readonly name: string;
  readonly precision: QuantPrecision;
  /** [out, in], or [in, out] where `transposed`. */
  readonly shape: readonly [number, number];
  /** The tensor of its scales; null where no training needs them. */
  readonly stepsName: string | null;
  readonly transposed: boolean;
  readonly parts: readonly { readonly name: string; readonly columns: number }[];
}

/**
 * Writes a quantised base file as one of floats, each the number that the quantised one stands for:
 * what training computes gradients with, since it also needs products the other way round, which no
 * kernel has for packed weights. Channels, heads, norms and tables are the same; a matrix at most is
 * in memory.
 * @param contents `weightsAndSteps`: beside the linear modules also the scales of their blocks, as
 *   `stepsName` F32 [out, in / 32], of down [in / 32, out], for a training that rounds to the numbers
 * @throws MODEL_CONFIG for an fp32 file, WEIGHT_MISSING, WEIGHT_DTYPE, WEIGHT_SHAPE
 */
export async function dequantiseBase(
  file: TensorFile,
  sink: ByteSink,
  contents: 'weights' | 'weightsAndSteps' = 'weights',
): Promise<void> {
  const layout = readBaseLayout(file);
  const { shape, precision, tablePrecision, ffnChunks } = layout;
  const {
    precision: _precision,
    tablePrecision: _tables,
    ffnChunks: _chunks,
    sourceBaseDigest: _source,
    ...metadata
  } = file.metadata;
  if (precision === 'fp32' || tablePrecision === 'fp32')
    throw new CodedError('MODEL_CONFIG', 'base file has precision fp32, wanted a quantised one');
  const { vocab, hidden } = shape;
  const matrices: JoinedMatrix[] = (shape.tiedHead ? ['embed'] : ['embed', 'head']).map((name) => ({
    name,
    precision: tablePrecision,
    shape: [vocab, hidden],
    stepsName: null,
    transposed: false,
    parts: [{ name, columns: hidden }],
  }));
  const group = (shape.heads / shape.kvHeads) * shape.headDim;
  for (let layer = 0; layer < shape.layers; layer++)
    for (const module of moduleNames) {
      const name = `layers.${layer}.${module}`;
      const [input, output] = moduleDims(shape, module);
      const sizes = module === 'down' ? ffnChunks : Array.from({ length: shape.kvHeads }, () => group);
      const isJoined = module === 'down' || module === 'o';
      matrices.push({
        name,
        precision,
        shape: module === 'down' ? [input, output] : [output, input],
        stepsName: stepsName(layer, module),
        transposed: module === 'down',
        parts: isJoined
          ? sizes.map((columns, part) => ({ name: `${name}.${part}`, columns }))
          : [{ name, columns: input }],
      });
    }
  const packed = new Set(
    matrices.flatMap(({ parts }) => parts.flatMap(({ name }) => [`${name}.q`, `${name}.scale`])),
  );
  const kept = [...file.tensors].filter(([name]) => !packed.has(name));
  const stepped = contents === 'weights' ? [] : matrices.filter(({ stepsName: steps }) => steps !== null);
  const specs: TensorSpec[] = [
    ...matrices.map(({ name, shape }) => ({ name, dtype: 'F32' as const, shape })),
    ...stepped.map(({ stepsName: name, shape: [rows, columns], transposed }) => ({
      name: name as string,
      dtype: 'F32' as const,
      shape: transposed ? [rows / quantBlock, columns] : [rows, columns / quantBlock],
    })),
    ...kept.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
  ];
  const target = await beginTensorFile(sink, specs, metadata, { alignment: 'page' });
  for (const matrix of matrices) await writeJoined(file, matrix, target);
  for (const matrix of stepped) await writeSteps(file, matrix.stepsName as string, matrix, target);
  for (const [name] of kept) await target.write(name, await readBytes(file, name));
  await target.end();
}

async function writeJoined(
  file: TensorFile,
  { name, precision, shape, transposed, parts }: JoinedMatrix,
  target: TensorSink,
): Promise<void> {
  const rows = shape[transposed ? 1 : 0];
  await writeParts(name, rows, transposed, parts, target, async ({ name: part, columns }) => {
    const scale = await readScale(file, part, rows, columns);
    const q = await readBytes(file, `${part}.q`, [rows, columns / quantBlock, quantBlockBytes(precision)]);
    return dequantiseBlocks({ q, scale }, precision);
  });
}

/** The scales of a matrix, one for 32 inputs, in the order of its weights. */
async function writeSteps(
  file: TensorFile,
  name: string,
  { shape, transposed, parts }: JoinedMatrix,
  target: TensorSink,
): Promise<void> {
  const rows = shape[transposed ? 1 : 0];
  const inBlocks = parts.map((part) => ({ name: part.name, columns: part.columns / quantBlock }));
  await writeParts(name, rows, transposed, inBlocks, target, (part) =>
    readScale(file, part.name, rows, part.columns * quantBlock),
  );
}

/** Joins parts [rows, columns] along their columns; transposed they follow each other. */
async function writeParts(
  name: string,
  rows: number,
  transposed: boolean,
  parts: JoinedMatrix['parts'],
  target: TensorSink,
  read: (part: JoinedMatrix['parts'][number]) => Promise<Float32Array>,
): Promise<void> {
  if (transposed) {
    for (const part of parts) await target.write(name, transpose(await read(part), rows, part.columns));
    return;
  }
  const width = parts.reduce((sum, { columns }) => sum + columns, 0);
  const whole = new Float32Array(rows * width);
  let first = 0;
  for (const part of parts) {
    const values = await read(part);
    const { columns } = part;
    for (let row = 0; row < rows; row++)
      whole.set(values.subarray(row * columns, (row + 1) * columns), row * width + first);
    first += columns;
  }
  await target.write(name, whole);
}

function readScale(file: TensorFile, part: string, rows: number, columns: number): Promise<Float32Array> {
  return readFloats(file, `${part}.scale`, [rows, columns / quantBlock]);
}
