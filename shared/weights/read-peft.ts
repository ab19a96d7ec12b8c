import { CodedError } from '../errors.js';
import {
  type ModelShape,
  type ModuleName,
  moduleDims,
  moduleNames,
  readModelShape,
} from '../graph/model-shape.js';
import type { Precision } from '../space/genome.js';
import { type AdapterFactors, encodeAdapterFile } from './adapter-file.js';
import { parseChannelOrder } from './channel-order.js';
import { type ModelOrders, orderOfSide, readModelOrders, sideOf } from './model-orders.js';
import { modulePaths } from './module-paths.js';
import { type PeftConfig, parsePeftConfig } from './peft-config.js';
import { encodePeftRecord, type PeftModule, peftKey } from './peft-record.js';
import { takeRows, transpose } from './permute.js';
import { readFloats } from './read-values.js';
import type { TensorFile } from './tensor-file.js';

const moduleOfPath = new Map<string, ModuleName>(moduleNames.map((module) => [modulePaths[module], module]));
const NAME =
  /^(?:base_model\.model\.)?(?:model\.)?layers\.(\d{1,4})\.([a-z_]+\.[a-z_]+)\.lora_([AB])(?:\.default)?\.weight$/;

/** Tensor names of one module of one layer. */
interface Pair {
  a?: string;
  b?: string;
}

/** The base a PEFT adapter is imported for: its opened file and the digest it goes by. */
export interface AdapterBase {
  readonly file: TensorFile;
  readonly digest: string;
}

/**
 * Turns a PEFT LoRA in original channel order into a super-adapter file over `base`.
 * rankMax is the largest rank of any module, alpha = rankMax · (lora_alpha / r). A module of
 * another scale has the quotient folded into B; one of smaller rank is filled up with zero rows,
 * and so are the layers that `layers_to_transform` leaves out.
 * @param config parsed adapter_config.json
 * @param file adapter_model.safetensors: A [r, in], B [out, r]
 * @param channelOrder parsed channel_order.json when the adapter brings one
 * @throws ADAPTER_CONFIG, ADAPTER_OTHER_BASE, WEIGHT_DTYPE, WEIGHT_MISSING
 */
export async function readPeftAdapter(
  config: unknown,
  file: TensorFile,
  base: AdapterBase,
  channelOrder?: unknown,
  masked?: Precision,
): Promise<Uint8Array> {
  const peft = parsePeftConfig(config);
  const shape = readModelShape(base.file);
  const orders = await readModelOrders(base.file, shape);
  if (channelOrder !== undefined)
    requireSameOrder(parseChannelOrder(channelOrder, shape), orders.ffnOrder, shape);
  const recorded = file.metadata.ffnOrderDigest;
  if (recorded !== undefined && recorded !== base.file.metadata.ffnOrderDigest)
    throw new CodedError(
      'ADAPTER_OTHER_BASE',
      `adapter was exported for FFN order ${recorded.slice(0, 12)}, the base has ${base.file.metadata.ffnOrderDigest?.slice(0, 12)}`,
    );
  const pairs = collectPairs(file, shape);
  const present = moduleNames.filter((module) => pairs.some((layer) => layer[module]));
  requireAllLayers(pairs, present, peft, shape);

  // Every rank is held against its tensors before the largest of them takes memory.
  const ranks = pairs.flatMap((modules, layer) =>
    present.flatMap((module) => {
      const pair = modules[module];
      return pair ? [checkedRank(file, pair, { peft, shape, layer, module })] : [];
    }),
  );
  const rankMax = ranks.reduce((largest, rank) => Math.max(largest, rank), 1);
  const alpha = peft.scale * rankMax;
  if (!Number.isFinite(alpha))
    throw new CodedError(
      'ADAPTER_CONFIG',
      `adapter_config.json makes an alpha of ${alpha} at rank ${rankMax}, wanted a finite one`,
    );
  const factors: Partial<Record<ModuleName, AdapterFactors>>[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    const modules: Partial<Record<ModuleName, AdapterFactors>> = {};
    for (const module of present) {
      const pair = pairs[layer]?.[module];
      modules[module] = await readFactors({ file, peft, shape, layer, module, pair, rankMax, orders });
    }
    factors.push(modules);
  }
  return encodeAdapterFile({
    shape,
    baseDigest: base.digest,
    ffnOrderDigest: base.file.metadata.ffnOrderDigest ?? '',
    rankMax,
    alpha,
    factors,
    masked,
    peft: encodePeftRecord({
      dtype: dtypeOf(file),
      modules: exceptionsOf(file, pairs, present, peft, rankMax),
    }),
  });
}

/** The one number type of an adapter's tensors; of several, the one that holds all. */
function dtypeOf(file: TensorFile): 'F32' | 'F16' | 'BF16' {
  const [first, ...rest] = new Set([...file.tensors.values()].map(({ dtype }) => dtype));
  return rest.length === 0 && (first === 'F16' || first === 'BF16') ? first : 'F32';
}

/** Ranks and scales of modules that the super-adapter's own do not tell. */
function exceptionsOf(
  file: TensorFile,
  pairs: readonly Partial<Record<ModuleName, Pair>>[],
  present: readonly ModuleName[],
  peft: PeftConfig,
  rankMax: number,
): Record<string, PeftModule> {
  const exceptions: Record<string, PeftModule> = {};
  pairs.forEach((modules, layer) => {
    for (const module of present) {
      const pair = modules[module];
      const rank = pair ? rankOfPair(file, pair) : 0;
      const scale = pair ? peft.scaleOf(`model.layers.${layer}.${modulePaths[module]}`) : peft.scale;
      if (rank !== rankMax || scale !== peft.scale) exceptions[peftKey(layer, module)] = { rank, scale };
    }
  });
  return exceptions;
}

function requireSameOrder(found: Int32Array, wanted: Int32Array, shape: ModelShape): void {
  const at = found.findIndex((channel, index) => channel !== wanted[index]);
  if (at >= 0)
    throw new CodedError(
      'ADAPTER_OTHER_BASE',
      `channel_order.json has channel ${found[at]} at position ${at % shape.ffnWidth} of layer ` +
        `${Math.floor(at / shape.ffnWidth)}, the base has ${wanted[at]}: the adapter was trained on other weights`,
    );
}

function collectPairs(file: TensorFile, shape: ModelShape): Partial<Record<ModuleName, Pair>>[] {
  const pairs: Partial<Record<ModuleName, Pair>>[] = Array.from({ length: shape.layers }, () => ({}));
  for (const name of file.tensors.keys()) {
    const match = NAME.exec(name);
    const module = moduleOfPath.get(match?.[2] ?? '');
    if (!match || !module)
      throw new CodedError(
        'ADAPTER_CONFIG',
        `adapter holds "${name.slice(0, 100)}", wanted lora_A and lora_B of ${Object.values(modulePaths).join(', ')}`,
      );
    const layer = pairs[Number(match[1])];
    if (!layer)
      throw new CodedError(
        'ADAPTER_OTHER_BASE',
        `adapter adapts layer ${match[1]}, the base has layers 0 to ${shape.layers - 1}`,
      );
    const pair: Pair = layer[module] ?? {};
    layer[module] = pair;
    const side = match[3] === 'A' ? 'a' : 'b';
    if (pair[side] !== undefined)
      throw new CodedError(
        'ADAPTER_CONFIG',
        `adapter holds both "${pair[side]}" and "${name.slice(0, 100)}"`,
      );
    pair[side] = name;
  }
  if (file.tensors.size === 0) throw new CodedError('ADAPTER_CONFIG', 'adapter holds no tensors');
  return pairs;
}

/** Where the config does not leave a layer out, PEFT adapts it, so a missing one means a shallower base. */
function requireAllLayers(
  pairs: readonly Partial<Record<ModuleName, Pair>>[],
  present: readonly ModuleName[],
  peft: PeftConfig,
  shape: ModelShape,
): void {
  pairs.forEach((modules, layer) => {
    for (const module of present) {
      if (!modules[module] && peft.adapts(layer, `model.layers.${layer}.${modulePaths[module]}`))
        throw new CodedError(
          'ADAPTER_OTHER_BASE',
          `adapter has no ${modulePaths[module]} in layer ${layer}, the base has ${shape.layers} layers`,
        );
    }
  });
}

function requirePair(pair: Pair): { a: string; b: string } {
  if (pair.a === undefined || pair.b === undefined)
    throw new CodedError('WEIGHT_MISSING', `adapter holds "${pair.a ?? pair.b}" without its other factor`);
  return { a: pair.a, b: pair.b };
}

function rankOfPair(file: TensorFile, pair: Pair): number {
  return file.tensors.get(requirePair(pair).a)?.shape[0] ?? 0;
}

/** The rank of a pair by the config. @throws ADAPTER_CONFIG or ADAPTER_OTHER_BASE when its tensors have another shape */
function checkedRank(
  file: TensorFile,
  pair: Pair,
  place: {
    readonly peft: PeftConfig;
    readonly shape: ModelShape;
    readonly layer: number;
    readonly module: ModuleName;
  },
): number {
  const names = requirePair(pair);
  const [input, output] = moduleDims(place.shape, place.module);
  const rank = place.peft.rankOf(`model.layers.${place.layer}.${modulePaths[place.module]}`);
  requireShape(file, names.a, [rank, input]);
  requireShape(file, names.b, [output, rank]);
  return rank;
}

/** Less than half of what neighbouring F16 or BF16 values differ by: rounding takes it away. */
const NARROW_STEP = 2 ** -13;

async function readFactors(place: {
  readonly file: TensorFile;
  readonly peft: PeftConfig;
  readonly shape: ModelShape;
  readonly layer: number;
  readonly module: ModuleName;
  readonly pair: Pair | undefined;
  readonly rankMax: number;
  readonly orders: ModelOrders;
}): Promise<AdapterFactors> {
  const { file, peft, shape, layer, module, pair, rankMax, orders } = place;
  const [input, output] = moduleDims(shape, module);
  const a = new Float32Array(rankMax * input);
  const b = new Float32Array(rankMax * output);
  if (!pair) return { a, b };
  const names = requirePair(pair);
  const path = `model.layers.${layer}.${modulePaths[module]}`;
  const rank = peft.rankOf(path);
  const sourceA = await readFloats(file, names.a);
  const sourceB = await readFloats(file, names.b);
  for (const [name, values] of [
    [names.a, sourceA],
    [names.b, sourceB],
  ] as const) {
    if (!values.every(Number.isFinite))
      throw new CodedError('WEIGHT_NOT_FINITE', `tensor "${name}" holds a value that is not finite`);
  }
  const inputOrder = orderOfSide(orders, shape, layer, sideOf(module, 'input'));
  const outputOrder = orderOfSide(orders, shape, layer, sideOf(module, 'output'));
  a.set(
    inputOrder === null
      ? sourceA
      : transpose(takeRows(transpose(sourceA, rank, input), inputOrder, rank), input, rank),
  );
  b.set(transpose(outputOrder === null ? sourceB : takeRows(sourceB, outputOrder, rank), output, rank));
  const fold = peft.scaleOf(path) / peft.scale;
  const scaled = fold === 1 ? b : b.map((value) => value * fold);
  if (!scaled.every(Number.isFinite))
    throw new CodedError(
      'WEIGHT_NOT_FINITE',
      `tensor "${names.b}" times the quotient ${fold} of two scales is not finite`,
    );
  // As an export computes it, from the alpha that the file will record.
  const unfold = (peft.scale * rankMax) / rankMax / peft.scaleOf(path);
  const step = dtypeOf(file) === 'F32' ? 0 : NARROW_STEP;
  const comesBack =
    fold === 1 ||
    b.every((value, at) => {
      const back = Math.fround((scaled[at] as number) * unfold);
      return Math.abs(back - value) <= Math.abs(value) * step;
    });
  return { a, b: scaled, ...(!comesBack && { importedB: sourceB }) };
}

function requireShape(file: TensorFile, name: string, wanted: readonly [number, number]): void {
  const found = file.tensors.get(name)?.shape ?? [];
  if (found.join() === wanted.join()) return;
  const rankAxis = name.includes('lora_A') ? 0 : 1;
  // The rank is the config's matter; the other side must be the base's.
  const code =
    found.length === 2 && found[1 - rankAxis] === wanted[1 - rankAxis]
      ? 'ADAPTER_CONFIG'
      : 'ADAPTER_OTHER_BASE';
  throw new CodedError(
    code,
    `"${name}" is [${found.join(', ')}], ${code === 'ADAPTER_CONFIG' ? 'adapter_config.json' : 'the base'} wants [${wanted.join(', ')}]`,
  );
}
