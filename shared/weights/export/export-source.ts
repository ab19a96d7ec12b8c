import { CodedError } from '../../errors.js';
import { type BaseLayout, readBaseLayout } from '../../graph/base-layout.js';
import { checkFit } from '../../graph/layer-cut.js';
import { groupOf, loraName } from '../../graph/lora.js';
import { type ModelShape, type ModuleName, moduleDims, moduleNames } from '../../graph/model-shape.js';
import type { Genome } from '../../space/genome.js';
import { readAdapterFacts, requireMask } from '../adapter-facts.js';
import { type ModelOrders, readModelOrders, sideOf } from '../model-orders.js';
import type { AdapterFacts } from '../package-plan.js';
import { transpose } from '../permute.js';
import { elementsAt, readFloats, requireTensor } from '../read-values.js';
import type { TensorFile } from '../tensor-file.js';
import { type CandidateCut, cutCandidate, placeMatrix, placeSide } from './candidate-cut.js';
import { readBaseMatrix, readBaseRows } from './read-base-matrix.js';

/** LoRA of one module as PEFT stores it: a [rank, in], b [out, rank]; the product is scale · b·a. */
export interface ExportedFactors {
  readonly rank: number;
  readonly scale: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/**
 * A candidate's weights as a stock model has them: every matrix [out, in] of `cut.shape`, with zeros
 * where a layer is narrower than the widest. Layers are numbered as in the exported model. One
 * matrix is in memory at a time.
 */
export interface ExportSource {
  readonly cut: CandidateCut;
  /** Metadata of the base file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Modules that have an adapter in at least one layer. */
  readonly modules: readonly ModuleName[];
  /** The adapter counts only where the base's weights are not 0: no LoRA beside them says so. */
  readonly isMasked: boolean;
  /** What every product b·a is multiplied by. */
  readonly loraScale: number;
  /** Null where the candidate has no adapter. */
  factors(layer: number, module: ModuleName): Promise<ExportedFactors | null>;
  /** The base's matrix; with the adapter added to it when `form` is merged. */
  matrix(layer: number, module: ModuleName, form: 'base' | 'merged'): Promise<Float32Array>;
  /** Only of modules that hasBias. */
  bias(layer: number, module: ModuleName): Promise<Float32Array>;
  norm(name: 'norm' | 'inputNorm' | 'postNorm', layer: number): Promise<Float32Array>;
  rows(name: 'embed' | 'head', first: number, rows: number): Promise<Float32Array>;
}

/**
 * @param files.base of the genome's precision
 * @param files.adapter super-adapter; null for the plain base
 * @throws GENOME_OUTSIDE_SPACE when the candidate cannot be cut from these files, ADAPTER_OTHER_BASE
 *   for an adapter masked by the base in another precision, ADAPTER_CONFIG for one that is rounded to
 *   the numbers of a quantised base, and the errors of readBaseLayout and readAdapterFacts
 */
export async function openExport(files: {
  readonly base: TensorFile;
  readonly adapter: TensorFile | null;
  readonly genome: Genome;
}): Promise<ExportSource> {
  const { base, adapter, genome } = files;
  const layout: BaseLayout = readBaseLayout(base);
  const { shape } = layout;
  const facts = adapter && readAdapterFacts(adapter);
  checkFit({ ...genome, form: 'unmerged' }, layout, facts?.rankMax ?? null);
  if (facts) requireMask(facts, layout.precision);
  const isMasked = facts?.masked !== undefined;
  if (isMasked && layout.precision !== 'fp32')
    throw new CodedError(
      'ADAPTER_CONFIG',
      `the adapter was trained for the numbers of its base in ${layout.precision}, wanted one for fp32 to export`,
    );
  const orders = await readModelOrders(base, shape);
  const cut = cutCandidate(shape, genome);
  const loraScale = facts ? facts.alpha / facts.rankMax : 1;
  const baseLayer = (layer: number): number => cut.layers[layer]?.layer as number;
  const place = (layer: number, module: ModuleName, matrix: Float32Array): Float32Array =>
    placeMatrix(
      matrix,
      moduleDims(shape, module)[0],
      placeSide(cut, orders, layer, sideOf(module, 'output')),
      placeSide(cut, orders, layer, sideOf(module, 'input')),
    );
  const factors: ExportSource['factors'] = async (layer, module) => {
    const rank = cut.layers[layer]?.genes.ranks[groupOf[module]] ?? 0;
    if (!adapter || !facts || rank === 0 || !facts.modules.includes(module)) return null;
    return readFactors({ adapter, facts, cut, orders, layer, module, rank, scale: loraScale });
  };
  return {
    cut,
    metadata: base.metadata,
    modules: moduleNames.filter(
      (module) =>
        facts?.modules.includes(module) && cut.layers.some(({ genes }) => genes.ranks[groupOf[module]] > 0),
    ),
    isMasked,
    loraScale,
    factors,
    async matrix(layer, module, form) {
      const weight = place(layer, module, await readBaseMatrix(base, layout, baseLayer(layer), module));
      const lora = form === 'merged' ? await factors(layer, module) : null;
      if (lora === null) return weight;
      const merged = addProduct(weight, lora, moduleDims(cut.shape, module)[0]);
      return isMasked ? merged.map((value, at) => (weight[at] === 0 ? 0 : value)) : merged;
    },
    async bias(layer, module) {
      const [, output] = moduleDims(shape, module);
      const bias = await readFloats(base, `layers.${baseLayer(layer)}.${module}.bias`, [output]);
      return placeMatrix(bias, 1, placeSide(cut, orders, layer, sideOf(module, 'output')), null);
    },
    norm: (name, layer) =>
      readFloats(base, name === 'norm' ? name : `layers.${baseLayer(layer)}.${name}`, [shape.hidden]),
    rows: (name, first, rows) => readBaseRows(base, layout, name, first, rows),
  };
}

/** Factors of one module of an exported layer, cut to `rank` and placed. */
export async function readFactors(from: {
  readonly adapter: TensorFile;
  readonly facts: AdapterFacts;
  readonly cut: CandidateCut;
  readonly orders: ModelOrders;
  readonly layer: number;
  readonly module: ModuleName;
  readonly rank: number;
  readonly scale: number;
}): Promise<ExportedFactors> {
  const { adapter, cut, orders, layer, module, rank, scale } = from;
  const stored = cut.layers[layer]?.layer as number;
  const [input, output] = moduleDims(cut.baseShape, module);
  const read = (factor: 'A' | 'B', columns: number): Promise<Float32Array> =>
    readRows(adapter, loraName(stored, module, factor), rank, columns);
  const a = await read('A', input);
  const b = transpose(await read('B', output), rank, output);
  return {
    rank,
    scale,
    a: placeMatrix(a, input, null, placeSide(cut, orders, layer, sideOf(module, 'input'))),
    b: placeMatrix(b, rank, placeSide(cut, orders, layer, sideOf(module, 'output')), null),
  };
}

/** The first rows of a stored F32 matrix. */
function readRows(file: TensorFile, name: string, rows: number, columns: number): Promise<Float32Array> {
  const entry = requireTensor(file, name);
  return elementsAt(file, entry.dtype, entry.offset, rows * columns * 4);
}

/** weight + scale · b·a, each sum in double precision and rounded once. */
function addProduct(
  weight: Float32Array,
  { rank, scale, a, b }: ExportedFactors,
  input: number,
): Float32Array {
  const out = new Float32Array(weight.length);
  const row = new Float64Array(input);
  for (let o = 0; o * input < weight.length; o++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const by = (b[o * rank + r] as number) * scale;
      if (by === 0) continue;
      for (let i = 0; i < input; i++) row[i] = (row[i] as number) + by * (a[r * input + i] as number);
    }
    for (let i = 0; i < input; i++)
      out[o * input + i] = (weight[o * input + i] as number) + (row[i] as number);
  }
  return out;
}

/** Rows of the embedding that are held at a time. */
const ROWS_AT_A_TIME = 4096;

/** All rows of embedding or head, some at a time. */
export async function* eachRows(source: ExportSource, name: 'embed' | 'head'): AsyncGenerator<Float32Array> {
  const { vocab } = source.cut.shape as ModelShape;
  for (let first = 0; first < vocab; first += ROWS_AT_A_TIME)
    yield await source.rows(name, first, Math.min(ROWS_AT_A_TIME, vocab - first));
}
