import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLoraParameters, openTrainingStep } from '@fleetlora/coordinator/training';
import { generateGreedy, openDecoder, resolveCandidate } from '@fleetlora/shared/engine';
import {
  buildInferenceGraph,
  type ModuleName,
  moduleDims,
  moduleNames,
  type WeightFile,
} from '@fleetlora/shared/graph';
import { openFileSource } from '@fleetlora/shared/node';
import { int32Tensor, int64Tensor, type Runtime } from '@fleetlora/shared/runtime';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import {
  readAdapterFacts,
  readFloats,
  readInts,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { type PreparedBase, prepareAdapter } from '../lib/prepare-model.js';

/** How far our numbers are from PyTorch's on an oracle folder. */
export interface OracleFigures {
  readonly cases: number;
  /** Largest absolute difference of a logit, base model and PEFT adapter. */
  readonly maxLogitError: number;
  readonly maxPeftLogitError: number;
  /** All greedy continuations and all tokenisations are equal. */
  readonly greedyEqual: boolean;
  readonly tokenisationEqual: boolean;
  /** Largest difference of a LoRA gradient over the largest gradient of its tensor. */
  readonly gradientError: number;
  readonly gradientsCompared: number;
  readonly meanCrossEntropyError: number;
}

interface OracleCases {
  readonly cases: readonly {
    readonly text: string;
    readonly ids: number[];
    readonly greedy_continuation: number[];
  }[];
  readonly train_case0_mean_ce: number;
  readonly tokenizer: readonly { readonly text: string; readonly ids: number[]; readonly decoded: string }[];
}

const threads = 2;

/** Compares everything that `oracleFolder` records with our graphs over `prepared`. */
export async function measureOracle(
  runtime: Runtime,
  oracleFolder: string,
  prepared: PreparedBase,
): Promise<OracleFigures> {
  const oracle = JSON.parse(await readFile(join(oracleFolder, 'cases.json'), 'utf8')) as OracleCases;
  const source = await openFileSource(join(oracleFolder, 'logits.safetensors'));
  const tensors = await readTensorFile(source);
  const adapterFolder = join(oracleFolder, 'peft_mixed_rank');
  const adapter = await prepareAdapter(adapterFolder, prepared);
  const { rankMax } = readAdapterFacts(adapter.file);
  const { layers, ffnWidth } = prepared.shape;
  const largest = uniformGenome(layers, rankMax, ffnWidth);

  const cases = oracle.cases.map(({ ids }) => ids);
  const figures = {
    cases: cases.length,
    maxLogitError: await compareLogits(runtime, prepared, null, null, cases, tensors, 'base_logits'),
    maxPeftLogitError: await compareLogits(
      runtime,
      prepared,
      adapter,
      largest,
      cases,
      tensors,
      'peft_logits',
    ),
    greedyEqual: await compareGreedy(runtime, prepared, oracle),
    tokenisationEqual: oracle.tokenizer.every(
      ({ text, ids, decoded }) =>
        prepared.tokenizer.encode(text).join() === ids.join() && prepared.tokenizer.decode(ids) === decoded,
    ),
    ...(await compareGradients(runtime, prepared, adapter, adapterFolder, largest, oracle, tensors)),
  };
  await source.close();
  return figures;
}

async function compareLogits(
  runtime: Runtime,
  prepared: PreparedBase,
  overlay: WeightFile | null,
  genome: Genome | null,
  cases: readonly (readonly number[])[],
  tensors: TensorFile,
  prefix: string,
): Promise<number> {
  const resolved = resolveCandidate({ folder: prepared.folder, base: prepared.base, overlay, genome });
  const session = await runtime.createSession(
    buildInferenceGraph({ ...resolved, head: 'logits', cachePositions: 0 }),
    { weightFolder: prepared.folder, threads },
  );
  let worst = 0;
  for (const [index, ids] of cases.entries()) {
    const results = await session.run(
      {
        ids: int64Tensor([1, ids.length], ids),
        rows: int64Tensor(
          [ids.length],
          ids.map((_, position) => position),
        ),
        last: int32Tensor([1], [ids.length - 1]),
        total: int32Tensor([1], [ids.length]),
      },
      ['logits'],
    );
    const wanted = await readFloats(tensors, `${prefix}.${index}`, [ids.length, prepared.shape.vocab]);
    const found = results.logits?.data as Float32Array;
    for (let i = 0; i < wanted.length; i++)
      worst = Math.max(worst, Math.abs((found[i] as number) - (wanted[i] as number)));
  }
  await session.release();
  return worst;
}

async function compareGreedy(
  runtime: Runtime,
  prepared: PreparedBase,
  oracle: OracleCases,
): Promise<boolean> {
  const decoder = await openDecoder(
    runtime,
    { folder: prepared.folder, base: prepared.base, overlay: null, genome: null },
    { threads, positions: prepared.shape.positions },
  );
  let equal = true;
  for (const { ids, greedy_continuation: wanted } of oracle.cases) {
    const found: number[] = [];
    for await (const id of generateGreedy(decoder, ids, { maxTokens: wanted.length, stopIds: [] }))
      found.push(id);
    equal &&= found.join() === wanted.join();
  }
  await decoder.close();
  return equal;
}

const GRADIENT = /^grad\.model\.(layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)_proj)\.lora_([AB])\.weight$/;

/**
 * Gradients of the mean cross entropy of case 0 under the PEFT adapter. Ours live in sorted
 * channel order with B transposed, and B holds the quotient of PEFT's scale and the file's.
 */
async function compareGradients(
  runtime: Runtime,
  prepared: PreparedBase,
  adapter: WeightFile,
  adapterFolder: string,
  genome: Genome,
  oracle: OracleCases,
  tensors: TensorFile,
): Promise<Pick<OracleFigures, 'gradientError' | 'gradientsCompared' | 'meanCrossEntropyError'>> {
  const { shape, base, folder } = prepared;
  const { rankMax, alpha } = readAdapterFacts(adapter.file);
  const parameters = createLoraParameters(shape, rankMax, moduleNames);
  for (const view of parameters.factors)
    parameters.valuesOf(view).set(await readFloats(adapter.file, view.name));
  const step = await openTrainingStep(runtime, {
    shape,
    base,
    weightFolder: folder,
    rankMax,
    loraScale: alpha / rankMax,
    modules: moduleNames,
    threads,
  });
  const row = { ids: Int32Array.from(oracle.cases[0]?.ids ?? []), targetStart: 1 };
  const { losses } = await step.accumulate(parameters, [row], [genome]);
  await step.close();

  const config = JSON.parse(await readFile(join(adapterFolder, 'adapter_config.json'), 'utf8')) as {
    r: number;
    lora_alpha: number;
    rank_pattern: Record<string, number>;
    alpha_pattern: Record<string, number>;
  };
  const order = await readInts(base.file, 'ffnOrder');
  let gradientError = 0;
  let gradientsCompared = 0;
  for (const [name, entry] of tensors.tensors) {
    const [, path = '', layerText, moduleText, factor] = GRADIENT.exec(name) ?? [];
    if (!layerText) continue;
    const layer = Number(layerText);
    const module = moduleText as ModuleName;
    const view = parameters.factors.find(
      (f) => f.layer === layer && f.module === module && f.factor === factor,
    );
    if (!view) continue;
    const rank = config.rank_pattern[path] ?? config.r;
    const folded = (config.alpha_pattern[path] ?? config.lora_alpha) / rank / (alpha / rankMax);
    const [inDim, outDim] = moduleDims(shape, module);
    const sorted = (factor === 'A') === (module === 'down') && ['gate', 'up', 'down'].includes(module);
    const channel = (position: number): number =>
      sorted ? (order[layer * shape.ffnWidth + position] as number) : position;
    const wanted = await readFloats(tensors, name, entry.shape);
    let difference = 0;
    let largest = 0;
    for (let r = 0; r < rank; r++) {
      for (let position = 0; position < view.columns; position++) {
        const found = parameters.gradient[view.start + r * view.columns + position] as number;
        const value =
          factor === 'A'
            ? { found, wanted: wanted[r * inDim + channel(position)] as number }
            : { found: found * folded, wanted: wanted[channel(position) * rank + r] as number };
        difference = Math.max(difference, Math.abs(value.found - value.wanted));
        largest = Math.max(largest, Math.abs(value.wanted));
      }
    }
    if (entry.shape.join() !== (factor === 'A' ? [rank, inDim] : [outDim, rank]).join())
      difference = Number.POSITIVE_INFINITY;
    gradientError = Math.max(gradientError, difference / largest);
    gradientsCompared++;
  }
  return {
    gradientError,
    gradientsCompared,
    meanCrossEntropyError: Math.abs((losses[0] ?? Number.NaN) - oracle.train_case0_mean_ce),
  };
}
