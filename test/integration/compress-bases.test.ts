import { inOriginalOrder, measureInputs, orderModel } from '@fleetlora/shared/compress';
import { type ModelShape, type ModuleName, moduleDims, moduleNames } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { uniformGenome } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import {
  bufferSource,
  invertOrder,
  layBase,
  type ModelSource,
  orderChannels,
  readModelOrders,
  readPeftAdapter,
  readTensorFile,
  sourceTensors,
  transpose,
  writePeftAdapter,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { pruneTinyModel, putFile } from '../lib/compressed-models.js';
import { readFullWeights } from '../lib/full-weights.js';
import { readPlainLlama } from '../lib/plain-llama.js';
import { largestDifference, modelLogits } from '../lib/run-logits.js';
import { tempFolder } from '../lib/temp-folder.js';
import { createTinyModel, randomRows, type TinyModel } from '../lib/tiny-model.js';

const runtime = createNodeRuntime();
const one = { threads: 1 };
const inputOf = { q: 'q', k: 'q', v: 'q', o: 'o', gate: 'gate', up: 'gate', down: 'down' } as const;

/** Norms of the inputs of every module by name, of a Llama written down plainly. */
async function plainNorms(model: TinyModel, rows: readonly TokenRow[]): Promise<Map<string, Float64Array>> {
  const squares = new Map<string, Float64Array>();
  const plain = await readPlainLlama(model, 'exact', (layer, module, x) => {
    const name = `layers.${layer}.${module}`;
    const sums = squares.get(name) ?? new Float64Array(x.length);
    squares.set(
      name,
      sums.map((sum, i) => sum + (x[i] as number) ** 2),
    );
  });
  for (const { ids } of rows) plain.logits(ids, null);
  return new Map([...squares].map(([name, sums]) => [name, sums.map((sum) => Math.sqrt(sum))]));
}

for (const qkvBias of [false, true])
  t.test(`norms of the inputs, ${qkvBias ? 'biases' : 'no biases'}: as computed plainly`, async (t) => {
    const shape: Partial<ModelShape> = qkvBias ? { architecture: 'qwen2', qkvBias: true } : {};
    const model = await createTinyModel(await tempFolder(t), { shape });
    // Of different lengths, so that padding would show, token 0 included.
    const rows = randomRows(model.shape, [9, 4, 12, 4, 1]);
    const norms = await measureInputs(runtime, model, rows, one);
    t.equal(norms.tokens, 30);
    const wanted = await plainNorms(model, rows);
    for (let layer = 0; layer < model.shape.layers; layer++)
      for (const module of moduleNames) {
        const found = norms.layers[layer]?.[inputOf[module]] ?? [];
        const truth = wanted.get(`layers.${layer}.${module}`) as Float64Array;
        const largest = Math.max(...truth);
        t.ok(largestDifference(found, truth) < 1e-5 * largest, `layers.${layer}.${module}`);
      }
  });

t.test('a calibration without rows, or with impossible ones, is refused', async (t) => {
  const model = await createTinyModel(await tempFolder(t));
  await t.rejects(measureInputs(runtime, model, [], one), coded('DATA_EMPTY', '0 rows'));
  for (const length of [0, 33]) {
    const row = { ids: new Int32Array(length), targetStart: 1 };
    await t.rejects(
      measureInputs(runtime, model, [row], one),
      coded('BAD_REQUEST', `${length} tokens`, '32 positions'),
    );
  }
  const longest = { ids: new Int32Array(32), targetStart: 1 };
  t.equal((await measureInputs(runtime, model, [longest], one)).tokens, 32, 'just inside');
});

for (const sparsity of [0.5, 0.3])
  t.test(`a base pruned to ${sparsity}: the zeros that a plain computation chooses`, async (t) => {
    const model = await createTinyModel(await tempFolder(t));
    const { shape, base } = model;
    const rows = randomRows(shape, [9, 4, 12]);
    const pruned = await pruneTinyModel(model, rows, sparsity);
    const before = await readFullWeights(base.file);
    const after = await readFullWeights(pruned.file);
    const norms = await plainNorms(model, rows);
    let wrong = 0;
    for (const [name, weights] of before) {
      const [, layer, module] = /^layers\.(\d+)\.(q|k|v|o|gate|up|down)$/.exec(name) ?? [];
      const found = after.get(name) as Float32Array;
      if (layer === undefined) {
        t.same(found, weights, `${name} stays`);
        continue;
      }
      const [input, output] = moduleDims(shape, module as ModuleName);
      const byOutput = (matrix: Float32Array): Float32Array =>
        module === 'down' ? transpose(matrix, input, output) : matrix;
      const [dense, sparse] = [byOutput(weights), byOutput(found)];
      const norm = norms.get(name) as Float64Array;
      for (let o = 0; o < output; o++) {
        const scores = Array.from({ length: input }, (_, i) => ({
          i,
          score: Math.abs(dense[o * input + i] as number) * (norm[i] as number),
        }));
        scores.sort((a, b) => a.score - b.score);
        const gone = new Set(scores.slice(0, Math.floor(input * sparsity)).map(({ i }) => i));
        for (let i = 0; i < input; i++) {
          const wanted = gone.has(i) ? 0 : dense[o * input + i];
          if (sparse[o * input + i] !== wanted) wrong++;
        }
      }
    }
    t.equal(wrong, 0, 'no weight differs from the computation in double precision');
    t.same(
      JSON.parse(pruned.file.metadata.pruning ?? ''),
      {
        method: 'wanda',
        sparsity,
        baseDigest: base.fileName,
        datasetDigest: 'd'.repeat(64),
        rows: 3,
        tokens: 25,
      },
      'and it says so',
    );
    const { pruning: _, ...others } = pruned.file.metadata;
    t.same(others, base.file.metadata, 'all else that it says is what its source says');
  });

t.test('impossible sparsities are refused before anything is written', async (t) => {
  const model = await createTinyModel(await tempFolder(t));
  const rows = randomRows(model.shape, [4]);
  for (const sparsity of [0, 1, Number.NaN])
    await t.rejects(pruneTinyModel(model, rows, sparsity), coded('BAD_REQUEST', `sparsity is ${sparsity}`));
});

/** A base as the model that it was laid from, its channels and heads in their own order. */
async function sourceOf({ shape, base }: TinyModel): Promise<ModelSource> {
  const weights = await readFullWeights(base.file);
  const { ffnOrder } = await readModelOrders(base.file, shape);
  const tensors = sourceTensors(shape);
  return {
    config: { shape, stopIds: [0] },
    sourceDigest: 'c'.repeat(64),
    async readRows(name, first, rows) {
      const [, layer, module] = /^layers\.(\d+)\.(gate|up|down)$/.exec(name) ?? [];
      const columns = tensors.get(name)?.[1] ?? 1;
      const stored = weights.get(name) as Float32Array;
      if (layer === undefined) return stored.slice(first * columns, (first + rows) * columns);
      const at = Number(layer) * shape.ffnWidth;
      const places = invertOrder(ffnOrder.slice(at, at + shape.ffnWidth));
      // Stored by channel in any case: down is transposed.
      return Float32Array.from({ length: rows * columns }, (_, i) => {
        const [row, column] = [first + Math.floor(i / columns), i % columns];
        const [channel, other] = module === 'down' ? [column, row] : [row, column];
        return stored[(places[channel] as number) * shape.hidden + other] as number;
      });
    },
  };
}

/** Summed scores of channels and heads of one layer, written down plainly. */
function plainScores(
  shape: ModelShape,
  layer: number,
  weights: ReadonlyMap<string, Float32Array>,
  normOf: (name: string, input: number) => number,
): { channels: number[]; heads: number[] } {
  const channels: number[] = Array(shape.ffnWidth).fill(0);
  const heads: number[] = Array(shape.kvHeads).fill(0);
  const group = (shape.heads / shape.kvHeads) * shape.headDim;
  for (const module of moduleNames) {
    const name = `layers.${layer}.${module}`;
    const [input, output] = moduleDims(shape, module);
    const stored = weights.get(name) as Float32Array;
    for (let o = 0; o < output; o++)
      for (let i = 0; i < input; i++) {
        const weight = stored[module === 'down' ? i * output + o : o * input + i] as number;
        const score = Math.abs(weight) * normOf(name, i);
        const side = module === 'o' || module === 'down' ? i : o;
        const isFfn = module === 'gate' || module === 'up' || module === 'down';
        const part = isFfn
          ? side
          : Math.floor(side / (module === 'q' || module === 'o' ? group : shape.headDim));
        const sums = isFfn ? channels : heads;
        sums[part] = (sums[part] as number) + score;
      }
  }
  return { channels, heads };
}

const descending = (scores: readonly number[]): number[] =>
  [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number));

for (const importance of ['l1', 'wanda'] as const)
  t.test(
    `channels and groups of heads sorted by ${importance}: the same model in another order`,
    async (t) => {
      const folder = await tempFolder(t);
      const shape = { kvHeads: 4, heads: 8, headDim: 16, architecture: 'qwen2', qkvBias: true } as const;
      const model = await createTinyModel(folder, { shape, seed: 3 });
      const source = await sourceOf(model);
      const rows = randomRows(model.shape, [9, 4, 12]);
      const norms = await measureInputs(runtime, model, rows, one);
      const first = await readModelOrders(model.base.file, model.shape);
      const own = importance === 'l1' ? null : inOriginalOrder(norms, first, model.shape);
      const orders = await orderModel(source, own);
      if (importance === 'l1')
        t.same(orders.ffnOrder, await orderChannels(source), 'channels as an import sorts');

      // The order of the base file's places, since that is how the plain computation knows the model.
      const weights = await readFullWeights(model.base.file);
      const truth = await plainNorms(model, rows);
      const { ffnWidth, kvHeads } = model.shape;
      for (let layer = 0; layer < model.shape.layers; layer++) {
        const normOf = (name: string, i: number): number =>
          importance === 'l1' ? 1 : (truth.get(name)?.[i] as number);
        const { channels, heads } = plainScores(model.shape, layer, weights, normOf);
        const originals = first.ffnOrder.subarray(layer * ffnWidth, (layer + 1) * ffnWidth);
        t.same(
          [...orders.ffnOrder.subarray(layer * ffnWidth, (layer + 1) * ffnWidth)],
          descending(channels).map((place) => originals[place]),
        );
        t.same([...orders.headOrder.subarray(layer * kvHeads, (layer + 1) * kvHeads)], descending(heads));
      }
      t.notSame([...orders.headOrder], [...first.headOrder], 'heads are really moved');

      const sorted = await putFile(folder, async (sink) => {
        await layBase(source, { tokenizerDigest: 'b'.repeat(64), orders }, sink);
      });
      t.same(await readModelOrders(sorted.file, model.shape), orders, 'the file records both orders');
      const ids = (rows[2] as TokenRow).ids;
      const logits = (base: typeof sorted) => modelLogits({ folder, base, overlay: null, genome: null }, ids);
      t.ok(largestDifference(await logits(sorted), await logits(model.base)) < 1e-4, 'and computes the same');

      const peft = await writePeftAdapter(model.adapter.file, first, 'F32');
      const tensors = await readTensorFile(bufferSource(peft['adapter_model.safetensors']));
      const moved = await putFile(folder, async (sink) => {
        const config = JSON.parse(new TextDecoder().decode(peft['adapter_config.json']));
        const target = { file: sorted.file, digest: sorted.fileName };
        // As a stranger's: without the order that ours was exported from.
        await sink.write(await readPeftAdapter(config, { ...tensors, metadata: {} }, target));
      });
      const genome = uniformGenome(2, 4, 24);
      const adapted = (base: typeof sorted, overlay: typeof sorted) =>
        modelLogits({ folder, base, overlay, genome }, ids);
      const [there, here] = [await adapted(sorted, moved), await adapted(model.base, model.adapter)];
      t.ok(largestDifference(there, here) < 2e-4, 'and adapters come and go in the order of the model');
    },
  );
