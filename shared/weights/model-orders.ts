import { CodedError } from '../errors.js';
import type { ModelShape, ModuleName } from '../graph/model-shape.js';
import { readInts } from './read-values.js';
import type { TensorFile } from './tensor-file.js';

/** The orders that a base sorts its channels and heads into; entry k is the original number at place k. */
export interface ModelOrders {
  /** [layers, ffnWidth] */
  readonly ffnOrder: Int32Array;
  /** [layers, kvHeads]; query heads go with the key/value head that serves them. */
  readonly headOrder: Int32Array;
}

/**
 * The orders recorded in a base file; one without a head order has its heads as they came.
 * @throws WEIGHT_MISSING, WEIGHT_DTYPE, WEIGHT_SHAPE when one is no order
 */
export async function readModelOrders(file: TensorFile, shape: ModelShape): Promise<ModelOrders> {
  const read = async (name: string, size: number): Promise<Int32Array> => {
    const order = await readInts(file, name);
    requireOrders(order, name, shape.layers, size);
    return order;
  };
  const headOrder = file.tensors.has('headOrder')
    ? await read('headOrder', shape.kvHeads)
    : Int32Array.from({ length: shape.layers * shape.kvHeads }, (_, i) => i % shape.kvHeads);
  return { ffnOrder: await read('ffnOrder', shape.ffnWidth), headOrder };
}

/** An order that repeats or leaves out a number would lose weights without a word. */
function requireOrders(order: Int32Array, name: string, layers: number, size: number): void {
  const whole = Array.from({ length: layers }, (_, layer) =>
    order.subarray(layer * size, (layer + 1) * size),
  );
  const bad =
    order.length === layers * size
      ? whole.findIndex(
          (one) => new Set(one).size !== size || !one.every((number) => number >= 0 && number < size),
        )
      : order.length / size;
  if (bad >= 0)
    throw new CodedError(
      'WEIGHT_SHAPE',
      `"${name}" of the base does not order layer ${bad}, wanted each of 0 to ${size - 1} once in ${layers} layers`,
    );
}

/** What one side of a linear module counts. Only `hidden` is never sorted. */
export type ModuleSide = 'hidden' | 'ffn' | 'queryHeads' | 'kvHeads';

const sides: Readonly<Record<ModuleName, readonly [input: ModuleSide, output: ModuleSide]>> = {
  q: ['hidden', 'queryHeads'],
  k: ['hidden', 'kvHeads'],
  v: ['hidden', 'kvHeads'],
  o: ['queryHeads', 'hidden'],
  gate: ['hidden', 'ffn'],
  up: ['hidden', 'ffn'],
  down: ['ffn', 'hidden'],
};

export function sideOf(module: ModuleName, side: 'input' | 'output'): ModuleSide {
  return sides[module][side === 'input' ? 0 : 1];
}

/**
 * Entry k: which number of the original model lies at place k of a sorted side. Null where both are
 * the same.
 */
export function orderOfSide(
  orders: ModelOrders,
  shape: ModelShape,
  layer: number,
  side: ModuleSide,
): Int32Array | null {
  if (side === 'hidden') return null;
  if (side === 'ffn') {
    const order = orders.ffnOrder.subarray(layer * shape.ffnWidth, (layer + 1) * shape.ffnWidth);
    return isIdentity(order) ? null : order;
  }
  const heads = orders.headOrder.subarray(layer * shape.kvHeads, (layer + 1) * shape.kvHeads);
  if (isIdentity(heads)) return null;
  const each = side === 'kvHeads' ? shape.headDim : (shape.heads / shape.kvHeads) * shape.headDim;
  return Int32Array.from(
    { length: heads.length * each },
    (_, i) => (heads[Math.floor(i / each)] as number) * each + (i % each),
  );
}

function isIdentity(order: Int32Array): boolean {
  return order.every((value, index) => value === index);
}
