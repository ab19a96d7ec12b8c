import { resolveCandidate, weightsOption } from '../engine/candidate-model.js';
import { CodedError } from '../errors.js';
import type { WeightFile } from '../graph/graph-weights.js';
import { buildInferenceGraph } from '../graph/inference-graph.js';
import { type InputModule, inputModules, squaresName } from '../graph/input-squares.js';
import { type ModelShape, moduleDims } from '../graph/model-shape.js';
import { int32Tensor, int64Tensor, type Runtime, type RuntimeSession } from '../runtime.js';
import type { TokenRow } from '../text/encode-row.js';

/** L2 norms, over the tokens of a calibration, of the inputs of a layer's linear modules: [in] each. */
export type LayerNorms = Readonly<Record<InputModule, Float64Array>>;

export interface InputNorms {
  /** Tokens that were looked at. */
  readonly tokens: number;
  readonly layers: readonly LayerNorms[];
}

/** Tokens of one graph run, as for scoring. */
const BATCH_TOKENS = 4096;

/**
 * What goes into every linear module of a base on calibration rows, prompts and completions alike.
 * All layers are those of the base as it is: pruning layer by layer, each calibrated on what the
 * pruned ones before it say, would need a pass a layer.
 * @param model.base an fp32 or quantised base file
 * @throws DATA_EMPTY without rows; BAD_REQUEST for a row of no tokens, or of more than the positions of the
 *   model; WEIGHT_NOT_FINITE when the base computes no numbers
 * @source Wanda (arXiv 2306.11695) section 3: the norm of each input feature over N·L tokens
 */
export async function measureInputs(
  runtime: Runtime,
  model: { readonly folder: string; readonly base: WeightFile },
  rows: readonly TokenRow[],
  { threads }: { readonly threads: number },
): Promise<InputNorms> {
  const resolved = resolveCandidate({ ...model, overlay: null, genome: null });
  const { shape, layout } = resolved;
  checkRows(rows, shape);
  const session = await runtime.createSession(
    buildInferenceGraph({ ...resolved, head: 'inputSquares', cachePositions: 0 }),
    { weightFolder: model.folder, threads, ...weightsOption(layout, 'mapped') },
  );
  const squares = Array.from({ length: shape.layers }, () => emptyLayer(shape));
  let tokens = 0;
  try {
    for (const batch of batchesOf(rows)) {
      tokens += batch.reduce((sum, { ids }) => sum + ids.length, 0);
      await addSquares(session, batch, squares);
    }
  } finally {
    await session.release();
  }
  return { tokens, layers: squares.map(toNorms) };
}

function checkRows(rows: readonly TokenRow[], { positions }: ModelShape): void {
  if (rows.length === 0)
    throw new CodedError('DATA_EMPTY', 'the calibration has 0 rows, wanted at least one');
  const wrong = rows.find(({ ids }) => ids.length === 0 || ids.length > positions);
  if (wrong)
    throw new CodedError(
      'BAD_REQUEST',
      `a calibration row has ${wrong.ids.length} tokens, wanted 1 to the model's ${positions} positions`,
    );
}

function emptyLayer(shape: ModelShape): LayerNorms {
  const zeros = (module: InputModule): Float64Array => new Float64Array(moduleDims(shape, module)[0]);
  return { q: zeros('q'), o: zeros('o'), gate: zeros('gate'), down: zeros('down') };
}

/** Rows of similar length together, longest first. */
function batchesOf(rows: readonly TokenRow[]): TokenRow[][] {
  const sorted = [...rows].sort((a, b) => b.ids.length - a.ids.length);
  const batches: TokenRow[][] = [];
  for (let from = 0; from < sorted.length; ) {
    const count = Math.max(1, Math.floor(BATCH_TOKENS / (sorted[from]?.ids.length ?? 1)));
    batches.push(sorted.slice(from, from + count));
    from += count;
  }
  return batches;
}

/** Runs a batch, padded on the right, and adds what the graph says of its tokens but not of the padding. */
async function addSquares(
  session: RuntimeSession,
  batch: readonly TokenRow[],
  squares: readonly LayerNorms[],
): Promise<void> {
  const length = batch.reduce((longest, { ids }) => Math.max(longest, ids.length), 0);
  const ids = new BigInt64Array(batch.length * length);
  const positions: number[] = [];
  batch.forEach((row, index) => {
    row.ids.forEach((id, at) => {
      ids[index * length + at] = BigInt(id);
      positions.push(index * length + at);
    });
  });
  const names = squares.flatMap((_, layer) => inputModules.map((module) => squaresName(layer, module)));
  const results = await session.run(
    {
      ids: { type: 'int64', dims: [batch.length, length], data: ids },
      rows: int64Tensor([positions.length], positions),
      // Right padding comes after everything a causal model looks at, so every row may claim full length.
      last: int32Tensor(
        [batch.length],
        batch.map(() => length - 1),
      ),
      total: int32Tensor([1], [length]),
    },
    names,
  );
  squares.forEach((layer, number) => {
    for (const module of inputModules) {
      const found = results[squaresName(number, module)]?.data as Float32Array;
      const sums = layer[module];
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (found[i] as number);
    }
  });
}

function toNorms(squares: LayerNorms, layer: number): LayerNorms {
  const norms = (module: InputModule): Float64Array => {
    const values = squares[module].map(Math.sqrt);
    const broken = values.findIndex((value) => !Number.isFinite(value));
    if (broken >= 0)
      throw new CodedError(
        'WEIGHT_NOT_FINITE',
        `layer ${layer}: input ${broken} of ${module} became ${values[broken]} on the calibration rows`,
      );
    return values;
  };
  return { q: norms('q'), o: norms('o'), gate: norms('gate'), down: norms('down') };
}
