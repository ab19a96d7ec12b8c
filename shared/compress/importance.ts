import { CodedError } from '../errors.js';
import { inputModuleOf } from '../graph/input-squares.js';
import { type ModelShape, type ModuleName, moduleDims } from '../graph/model-shape.js';
import { orderByImportance } from '../weights/channel-order.js';
import { type ModelOrders, orderOfSide, sideOf } from '../weights/model-orders.js';
import type { ModelSource } from '../weights/model-source.js';
import { forEachRows } from '../weights/read-rows.js';
import type { InputNorms, LayerNorms } from './measure-inputs.js';

/** What a layer's channels [ffnWidth] and groups of heads [kvHeads] weigh. */
interface LayerImportance {
  readonly channels: Float64Array;
  readonly heads: Float64Array;
}

/**
 * FFN channels and groups of heads of every layer from the most to the least important. A channel is a
 * row of gate and up and a column of down; a group is a key/value head with its query heads: their rows of
 * q, k and v and their columns of o. Ties by number. With no norms, L1, channels have the order of
 * `orderChannels`.
 * @param norms in the order of the model's own channels and heads (`inOriginalOrder`); null: L1
 * @throws WEIGHT_NOT_FINITE naming layer and channel or head
 * @source LoNAS section 3.1 (L1); Wanda (arXiv 2306.11695) section 3
 */
export async function orderModel(source: ModelSource, norms: InputNorms | null): Promise<ModelOrders> {
  const { layers, ffnWidth, kvHeads } = source.config.shape;
  const ffnOrder = new Int32Array(layers * ffnWidth);
  const headOrder = new Int32Array(layers * kvHeads);
  for (let layer = 0; layer < layers; layer++) {
    const { channels, heads } = await weighLayer(source, layer, norms?.layers[layer] ?? null);
    ffnOrder.set(orderByImportance(channels), layer * ffnWidth);
    headOrder.set(orderByImportance(heads), layer * kvHeads);
  }
  return { ffnOrder, headOrder };
}

async function weighLayer(
  source: ModelSource,
  layer: number,
  norms: LayerNorms | null,
): Promise<LayerImportance> {
  const { shape } = source.config;
  const group = (shape.heads / shape.kvHeads) * shape.headDim;
  const channels = new Float64Array(shape.ffnWidth);
  const heads = new Float64Array(shape.kvHeads);
  /** Adds what each weight of a module counts to the part that its row, or column, belongs to. */
  const add = async (
    module: ModuleName,
    sums: Float64Array,
    by: { readonly side: 'row' | 'column'; readonly size: number },
  ): Promise<void> => {
    const [columns] = moduleDims(shape, module);
    const norm = norms?.[inputModuleOf(module)];
    await forEachRows(source, `layers.${layer}.${module}`, (values, first) => {
      for (let i = 0; i < values.length; i++) {
        const column = i % columns;
        const at = by.side === 'row' ? first + (i - column) / columns : column;
        const part = Math.floor(at / by.size);
        const weight = Math.abs(values[i] as number) * (norm === undefined ? 1 : (norm[column] as number));
        sums[part] = (sums[part] as number) + weight;
      }
    });
  };
  await add('gate', channels, { side: 'row', size: 1 });
  await add('up', channels, { side: 'row', size: 1 });
  await add('down', channels, { side: 'column', size: 1 });
  await add('q', heads, { side: 'row', size: group });
  await add('k', heads, { side: 'row', size: shape.headDim });
  await add('v', heads, { side: 'row', size: shape.headDim });
  await add('o', heads, { side: 'column', size: group });
  requireFinite(channels, layer, 'FFN channel');
  requireFinite(heads, layer, 'key/value head');
  return { channels, heads };
}

function requireFinite(sums: Float64Array, layer: number, what: string): void {
  const broken = sums.findIndex((sum) => !Number.isFinite(sum));
  if (broken >= 0)
    throw new CodedError(
      'WEIGHT_NOT_FINITE',
      `layer ${layer}: ${what} ${broken} holds a weight that is not finite`,
    );
}

/** Norms measured on a base file, whose channels and heads are sorted, in the order of its model. */
export function inOriginalOrder(norms: InputNorms, orders: ModelOrders, shape: ModelShape): InputNorms {
  const unsort = (layer: number, module: 'o' | 'down', sorted: Float64Array): Float64Array => {
    const order = orderOfSide(orders, shape, layer, sideOf(module, 'input'));
    if (order === null) return sorted;
    const original = new Float64Array(sorted.length);
    order.forEach((number, place) => {
      original[number] = sorted[place] as number;
    });
    return original;
  };
  const layers = norms.layers.map((layer, number) => ({
    ...layer,
    o: unsort(number, 'o', layer.o),
    down: unsort(number, 'down', layer.down),
  }));
  return { ...norms, layers };
}
