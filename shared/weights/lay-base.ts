import { CodedError } from '../errors.js';
import { layoutVersionOf, type ModelShape, type ModuleName } from '../graph/model-shape.js';
import type { ByteSink } from '../runtime.js';
import type { ChatTemplateSource } from '../text/chat-template.js';
import { digestOrder, orderChannels } from './channel-order.js';
import type { TensorSpec } from './encode-tensor-file.js';
import { type ModelOrders, orderOfSide, sideOf } from './model-orders.js';
import { type ModelSource, sourceTensors } from './model-source.js';
import { forEachRows, readInto } from './read-rows.js';
import { ropeOf, ropeRows } from './rope-tables.js';
import { elementCount } from './tensor-file.js';
import { beginTensorFile, type TensorSink } from './tensor-sink.js';

export interface LaidBase {
  /** Weights of the model, each counted once. */
  readonly parameters: number;
}

/**
 * Lays a model out as a base file, F32 and page-aligned, FFN channels and groups of heads in order.
 * Reads the FFN weights twice, since their order stands in the header; holds one matrix at a time
 * and, of the others, some rows.
 * @param sink takes the file's bytes from first to last
 * @throws what the source throws; WEIGHT_NOT_FINITE
 */
export async function layBase(
  source: ModelSource,
  about: {
    readonly tokenizerDigest: string;
    /** Of a model that has a chat template; without one the file says nothing of it. */
    readonly chat?: ChatTemplateSource | null;
    /** Of channels and heads; absent: channels by summed magnitudes, heads as they come. */
    readonly orders?: ModelOrders;
  },
  sink: ByteSink,
): Promise<LaidBase> {
  const { shape, stopIds } = source.config;
  const weights = sourceTensors(shape);
  const parameters = [...weights.values()].reduce((sum, dims) => sum + elementCount(dims), 0);
  const { ffnOrder, headOrder } = about.orders ?? {
    ffnOrder: await orderChannels(source),
    headOrder: plainHeadOrder(shape),
  };
  const orders = { ffnOrder, headOrder };
  const metadata = {
    format: 'fleetlora-base',
    layoutVersion: layoutVersionOf(shape),
    shape: JSON.stringify(shape),
    sourceDigest: source.sourceDigest,
    tokenizerDigest: about.tokenizerDigest,
    ffnOrderDigest: digestOrder(ffnOrder),
    stopIds: JSON.stringify(stopIds),
    parameters: String(parameters),
    ...(about.chat && {
      chatTemplate: about.chat.template,
      chatTokens: JSON.stringify(about.chat.tokens),
    }),
  };
  const file = await beginTensorFile(sink, baseTensors(shape), metadata, { alignment: 'page' });
  // One array for every FFN matrix: what waits to be collected counts as held.
  const matrix = new Float32Array(shape.ffnWidth * shape.hidden);
  for (const name of weights.keys()) {
    const [, layer, module = ''] = FFN_MATRIX.exec(name) ?? [];
    if (layer === undefined) {
      await copySorted(source, name, orders, file);
      continue;
    }
    const order = ffnOrder.subarray(Number(layer) * shape.ffnWidth, (Number(layer) + 1) * shape.ffnWidth);
    await readInto(matrix, source, name);
    requireFinite(name, matrix);
    const sort = module === 'down' ? writeColumns : writeRows;
    await sort(matrix, order, (piece) => file.write(name, piece));
  }
  await writeRope(shape, file);
  await file.write('ffnOrder', ffnOrder);
  await file.write('headOrder', headOrder);
  await file.end();
  return { parameters };
}

/** Tensors of a base file in file order. */
function baseTensors(shape: ModelShape): TensorSpec[] {
  const half = shape.headDim / 2;
  const specs: TensorSpec[] = [];
  for (const [name, dims] of sourceTensors(shape))
    specs.push({ name, dtype: 'F32', shape: name.endsWith('.down') ? dims.toReversed() : dims });
  for (const name of ['rope.cos', 'rope.sin'])
    specs.push({ name, dtype: 'F32', shape: [shape.positions, half] });
  specs.push({ name: 'ffnOrder', dtype: 'I32', shape: [shape.layers, shape.ffnWidth] });
  specs.push({ name: 'headOrder', dtype: 'I32', shape: [shape.layers, shape.kvHeads] });
  return specs;
}

/** Heads as they come. */
function plainHeadOrder({ layers, kvHeads }: ModelShape): Int32Array {
  return Int32Array.from({ length: layers * kvHeads }, (_, i) => i % kvHeads);
}

function requireFinite(name: string, values: Float32Array): Float32Array {
  // A plain loop: a call for each of a billion weights takes longer than writing them.
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new CodedError('WEIGHT_NOT_FINITE', `tensor for "${name}" holds a weight that is not finite`);
  return values;
}

async function copyTensor(source: ModelSource, name: string, file: TensorSink): Promise<void> {
  await forEachRows(source, name, async (values) => file.write(name, requireFinite(name, values)));
}

const FFN_MATRIX = /^layers\.(\d+)\.(gate|up|down)$/;
const ATTENTION_TENSOR = /^layers\.(\d+)\.([qkvo])(\.bias)?$/;

/** Copies a tensor that has no FFN channels, its heads sorted where it has some. */
async function copySorted(
  source: ModelSource,
  name: string,
  orders: ModelOrders,
  file: TensorSink,
): Promise<void> {
  const { shape } = source.config;
  const [, layer, module] = ATTENTION_TENSOR.exec(name) ?? [];
  const own = module as ModuleName;
  const order =
    layer === undefined
      ? null
      : orderOfSide(orders, shape, Number(layer), sideOf(own, own === 'o' ? 'input' : 'output'));
  if (order === null) return copyTensor(source, name, file);
  if (own === 'o') {
    await forEachRows(source, name, async (values) => {
      requireFinite(name, values);
      const sorted = values.map((_, i) => {
        const column = i % order.length;
        return values[i - column + (order[column] as number)] as number;
      });
      await file.write(name, sorted);
    });
    return;
  }
  // Heads are whole in both orders, so a head is read where its first row lies.
  for (let row = 0; row < order.length; row += shape.headDim)
    await file.write(
      name,
      requireFinite(name, await source.readRows(name, order[row] as number, shape.headDim)),
    );
}

type WritePiece = (piece: Float32Array) => Promise<void>;

/** Gate or up, [ffn, hidden], its rows in the given order. */
async function writeRows(matrix: Float32Array, order: Int32Array, write: WritePiece): Promise<void> {
  const columns = matrix.length / order.length;
  await inPieces(order, columns, async (rows, piece) => {
    rows.forEach((row, k) => {
      piece.set(matrix.subarray(row * columns, (row + 1) * columns), k * columns);
    });
    await write(piece);
  });
}

/** Down, read as [hidden, ffn], written as [ffn, hidden] with its channels in the given order. */
async function writeColumns(matrix: Float32Array, order: Int32Array, write: WritePiece): Promise<void> {
  const hidden = matrix.length / order.length;
  await inPieces(order, hidden, async (channels, piece) => {
    // Rows outside, so that reads which follow each other lie near each other.
    for (let row = 0; row < hidden; row++)
      channels.forEach((channel, k) => {
        piece[k * hidden + row] = matrix[row * order.length + channel] as number;
      });
    await write(piece);
  });
}

/** Values that are gathered before they are written. */
const PIECE_VALUES = 1024 * 1024;

/** Goes through an order a few rows at a time, with one array for what is made of them. */
async function inPieces(
  order: Int32Array,
  columns: number,
  use: (rows: Int32Array, piece: Float32Array) => Promise<void>,
): Promise<void> {
  const rows = Math.max(1, Math.floor(PIECE_VALUES / columns));
  const piece = new Float32Array(Math.min(rows, order.length) * columns);
  for (let first = 0; first < order.length; first += rows) {
    const some = order.subarray(first, first + rows);
    await use(some, piece.subarray(0, some.length * columns));
  }
}

async function writeRope(shape: ModelShape, file: TensorSink): Promise<void> {
  const rope = ropeOf(shape);
  const rows = Math.max(1, Math.floor((2 * PIECE_VALUES) / shape.headDim));
  for (const table of ['cos', 'sin'] as const)
    for (let first = 0; first < shape.positions; first += rows)
      await file.write(
        `rope.${table}`,
        ropeRows(rope, table, first, Math.min(rows, shape.positions - first)),
      );
}
