import { type ActiveLayer, activeLayers, cutShape } from '../../graph/layer-cut.js';
import type { ModelShape } from '../../graph/model-shape.js';
import type { Genome } from '../../space/genome.js';
import { type ModelOrders, type ModuleSide, orderOfSide } from '../model-orders.js';

/** A candidate as a model of its own, in a format that gives every layer the same sizes. */
export interface CandidateCut {
  readonly genome: Genome;
  /** Of the model that is exported: the layers that stay, at least as wide as the widest of them. */
  readonly shape: ModelShape;
  /** Of the base that it is cut from. */
  readonly baseShape: ModelShape;
  readonly layers: readonly ActiveLayer[];
  /**
   * Nothing but ranks was chosen: the adapter fits the original model, and is exported with channels
   * and heads where that has them. A candidate that is cut keeps the base's sorted order.
   */
  readonly isWhole: boolean;
}

/** @param genome one that fits the base: see checkFit */
export function cutCandidate(baseShape: ModelShape, genome: Genome): CandidateCut {
  const layers = activeLayers(genome);
  const shapes = layers.map(({ genes }) => cutShape(baseShape, genes));
  const widest = (of: (shape: ModelShape) => number): number =>
    shapes.reduce((most, shape) => Math.max(most, of(shape)), 0);
  const group = baseShape.heads / baseShape.kvHeads;
  // transformers refuses a Llama whose hidden size is no multiple of its heads, and llama.cpp a Qwen2
  // whose heads are not as wide together as its hidden size; more zeros help.
  const refuses = (kvHeads: number): boolean =>
    baseShape.hidden % (kvHeads * group) !== 0 ||
    (baseShape.architecture === 'qwen2' && kvHeads * group * baseShape.headDim !== baseShape.hidden);
  let kvHeads = widest((one) => one.kvHeads);
  while (kvHeads < baseShape.kvHeads && refuses(kvHeads)) kvHeads++;
  const shape: ModelShape = {
    ...baseShape,
    layers: layers.length,
    ffnWidth: widest(({ ffnWidth }) => ffnWidth),
    kvHeads,
    heads: kvHeads * group,
  };
  const isWhole =
    layers.length === baseShape.layers &&
    shapes.every(({ ffnWidth, kvHeads }) => ffnWidth === baseShape.ffnWidth && kvHeads === baseShape.kvHeads);
  return { genome, shape, baseShape, layers, isWhole };
}

/** Which place of the base file stands at each place of an exported side; -1 is a zero that fills up. */
export type Placement = Int32Array;

/**
 * Places of one side of a module in an exported layer. Null: all of them, as they are.
 * @param layer number of the exported layer
 */
export function placeSide(
  cut: CandidateCut,
  orders: ModelOrders,
  layer: number,
  side: ModuleSide,
): Placement | null {
  const active = cut.layers[layer] as ActiveLayer;
  if (side === 'hidden') return null;
  if (cut.isWhole) {
    const order = orderOfSide(orders, cut.baseShape, active.layer, side);
    return order === null ? null : invert(order);
  }
  const kept = sizeOfSide(cutShape(cut.baseShape, active.genes), side);
  const size = sizeOfSide(cut.shape, side);
  if (kept === size && size === sizeOfSide(cut.baseShape, side)) return null;
  return Int32Array.from({ length: size }, (_, place) => (place < kept ? place : -1));
}

function sizeOfSide(shape: ModelShape, side: Exclude<ModuleSide, 'hidden'>): number {
  if (side === 'ffn') return shape.ffnWidth;
  return (side === 'kvHeads' ? shape.kvHeads : shape.heads) * shape.headDim;
}

function invert(order: Int32Array): Placement {
  const out = new Int32Array(order.length);
  order.forEach((number, place) => {
    out[number] = place;
  });
  return out;
}

/**
 * The rows and columns of a matrix that two placements name; null takes all.
 * @param matrix [any rows, columns], row-major
 */
export function placeMatrix(
  matrix: Float32Array,
  columns: number,
  rowPlaces: Placement | null,
  columnPlaces: Placement | null,
): Float32Array {
  if (rowPlaces === null && columnPlaces === null) return matrix;
  const rows = rowPlaces?.length ?? matrix.length / columns;
  const width = columnPlaces?.length ?? columns;
  const out = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const from = rowPlaces === null ? row : (rowPlaces[row] as number);
    if (from < 0) continue;
    if (columnPlaces === null) {
      out.set(matrix.subarray(from * columns, (from + 1) * columns), row * width);
      continue;
    }
    for (let column = 0; column < width; column++) {
      const at = columnPlaces[column] as number;
      if (at >= 0) out[row * width + column] = matrix[from * columns + at] as number;
    }
  }
  return out;
}
