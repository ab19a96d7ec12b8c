import { CodedError } from '@fleetlora/shared/errors';
import {
  buildTrainingGraph,
  groupOf,
  type LayerElasticity,
  type ModelShape,
  type ModuleName,
  quantBlock,
  type WeightFile,
} from '@fleetlora/shared/graph';
import { floatTensor, int64Tensor, type Runtime, type Tensor } from '@fleetlora/shared/runtime';
import { type Genome, type LayerGenome, moduleGroups, type Precision } from '@fleetlora/shared/space';
import { padRows, type TokenRow } from '@fleetlora/shared/text';
import { type MicroBatch, packMicroBatches } from './batches.js';
import type { LoraParameters } from './lora-parameters.js';

/** Activations of this many tokens stay within the caches of a small host. */
const MICRO_BATCH_TOKENS = 2560;
const FORBIDDEN = -1e9;

export interface TrainingStepOptions {
  readonly shape: ModelShape;
  readonly base: WeightFile;
  readonly weightFolder: string;
  readonly rankMax: number;
  readonly loraScale: number;
  readonly modules: readonly ModuleName[];
  readonly threads: number;
  /** What sub-networks are cut in beside ranks, by layer; absent: in FFN widths. */
  readonly elastic?: readonly LayerElasticity[];
  /**
   * In-place distillation: what share of the loss of every sub-network but the first is its KL
   * divergence from the first, 0 to 1. Absent: none.
   */
  readonly distil?: number | undefined;
  /** As TrainingLinearOptions says; absent: adapters count everywhere. */
  readonly masked?: Precision | undefined;
}

export interface StepOutcome {
  /** Mean negative log-likelihood a target token of each sub-network, nats. */
  readonly losses: readonly number[];
  /** Tokens run forward and backward, padding not counted. */
  readonly tokens: number;
}

/** Gradients of a batch under several sub-networks, over one session for all of them. */
export interface TrainingStep {
  /**
   * Sets `parameters.gradient` to the mean over sub-networks of the mean-token-loss gradient. With
   * distillation the first sub-network, the largest, is the teacher of the others.
   * @throws BUG for a sub-network cut in a way that the graph was not built for
   */
  accumulate(
    parameters: LoraParameters,
    rows: readonly TokenRow[],
    subnets: readonly Genome[],
  ): Promise<StepOutcome>;
  close(): Promise<void>;
}

export async function openTrainingStep(
  runtime: Runtime,
  options: TrainingStepOptions,
): Promise<TrainingStep> {
  const { shape, modules, distil } = options;
  const elastic =
    options.elastic ??
    Array.from({ length: shape.layers }, () => ({ width: true, kvHeads: false, skip: false }));
  const session = await runtime.createSession(
    buildTrainingGraph({ ...options, elastic, teacher: distil === undefined ? 'none' : 'probabilities' }),
    { weightFolder: options.weightFolder, threads: options.threads, weights: 'mapped' },
  );
  const groups = moduleGroups.filter((group) => modules.some((module) => groupOf[module] === group));
  /** Of a layer that is left out; steps between numbers are those of whole blocks. */
  const leastWidth = options.masked === undefined || options.masked === 'fp32' ? 1 : quantBlock;
  /** Sizes of a sub-network as the graph takes them. */
  const choicesOf = (subnet: Genome): Record<string, Tensor> => {
    const choices: Record<string, Tensor> = {};
    subnet.layers.forEach((genes, layer) => {
      const cuts = elastic[layer] as LayerElasticity;
      requireCut(genes, layer, cuts, shape);
      const { ranks, width, kvHeads = shape.kvHeads, skipped } = genes;
      if (cuts.width) choices[`width.${layer}`] = int64Tensor([1], [skipped ? leastWidth : width]);
      if (cuts.kvHeads) choices[`kvHeads.${layer}`] = int64Tensor([1], [skipped ? 1 : kvHeads]);
      if (cuts.skip) choices[`keep.${layer}`] = floatTensor([], Float32Array.of(skipped ? 0 : 1));
      for (const group of groups) choices[`rank.${layer}.${group}`] = int64Tensor([1], [ranks[group]]);
    });
    return choices;
  };
  return {
    async accumulate(parameters, rows, subnets) {
      // A whole network's gradients are written where they belong, and nothing has to be added.
      const isWhole = subnets[0] !== undefined && coversAll(subnets[0], parameters, shape);
      if (!isWhole) parameters.gradient.fill(0);
      const batches = packMicroBatches(rows, MICRO_BATCH_TOKENS).map((batch) => feedsOf(batch, shape));
      const targets = batches.reduce((sum, feeds) => sum + (feeds.targets?.data.length ?? 0), 0);
      const shared = {
        weight: floatTensor([], Float32Array.of(1 / (targets * subnets.length))),
        ...Object.fromEntries(
          parameters.factors.map((view) => [
            view.name,
            floatTensor([view.rows, view.columns], parameters.valuesOf(view)),
          ]),
        ),
      };
      const gradients = parameters.factors.map((view) => `grad.${view.name}`);
      const own = Object.fromEntries(
        parameters.factors.map((view) => [
          `grad.${view.name}`,
          floatTensor([view.rows, view.columns], parameters.gradientOf(view)),
        ]),
      );
      let isFirst = isWhole;
      const choices = subnets.map(choicesOf);
      const losses = subnets.map(() => 0);
      const run = async (
        index: number,
        feeds: Readonly<Record<string, Tensor>>,
        others: readonly string[] = [],
      ): Promise<Readonly<Record<string, Tensor>>> => {
        const inputs = { ...feeds, ...shared, ...choices[index] };
        const wanted = ['loss', ...others];
        const results = isFirst
          ? await session.run(inputs, { ...Object.fromEntries(wanted.map((name) => [name, null])), ...own })
          : await session.run(inputs, [...wanted, ...gradients]);
        if (!isFirst) addGradients(results, parameters);
        isFirst = false;
        losses[index] = (losses[index] as number) + lossOf(results) * subnets.length;
        return results;
      };
      if (distil === undefined) {
        for (const index of subnets.keys()) for (const feeds of batches) await run(index, feeds);
      } else {
        // Batch by batch, so that no more than one batch's probabilities are held.
        for (const feeds of batches) {
          const first = await run(0, { ...feeds, ...noTeacher() }, ['logProbabilities']);
          const taught = {
            teacher: first.logProbabilities as Tensor,
            distil: floatTensor([], Float32Array.of(distil)),
          };
          for (let index = 1; index < subnets.length; index++) await run(index, { ...feeds, ...taught });
        }
      }
      const tokens = rows.reduce((sum, row) => sum + row.ids.length, 0) * subnets.length;
      return { losses, tokens };
    },
    close: () => session.release(),
  };
}

/** A probability of 0 for everything, and no share of the loss. */
const noTeacher = (): Record<string, Tensor> => ({
  teacher: floatTensor([1, 1], Float32Array.of(FORBIDDEN)),
  distil: floatTensor([], Float32Array.of(0)),
});

function requireCut(genes: LayerGenome, layer: number, cuts: LayerElasticity, shape: ModelShape): void {
  const wrong =
    (genes.skipped && !cuts.skip && 'left out') ||
    (!genes.skipped && genes.width !== shape.ffnWidth && !cuts.width && `cut to width ${genes.width}`) ||
    (genes.kvHeads !== undefined && !cuts.kvHeads && `cut to ${genes.kvHeads} key/value heads`);
  if (wrong) throw new CodedError('BUG', `layer ${layer} is ${wrong}, which the training graph cannot do`);
}

const lossOf = (results: Readonly<Record<string, Tensor>>): number =>
  (results.loss?.data[0] as number | undefined) ?? Number.NaN;

/** Whether the gradients of a sub-network cover every factor from end to end. */
function coversAll(subnet: Genome, parameters: LoraParameters, shape: ModelShape): boolean {
  return parameters.factors.every(({ layer, module, rows }) => {
    const genes = subnet.layers[layer];
    return (
      genes !== undefined &&
      !genes.skipped &&
      genes.ranks[groupOf[module]] === rows &&
      genes.width === shape.ffnWidth &&
      genes.kvHeads === undefined
    );
  });
}

/** Adds the gradients of one run into the flat vector. */
function addGradients(results: Readonly<Record<string, Tensor>>, parameters: LoraParameters): void {
  for (const view of parameters.factors) {
    const tensor = results[`grad.${view.name}`];
    if (!tensor) continue;
    // A sub-network's gradient covers the top left block of the stored factor.
    const [rows = 0, columns = 0] = tensor.dims;
    const part = tensor.data as Float32Array;
    const whole = parameters.gradientOf(view);
    for (let row = 0; row < rows; row++) {
      const into = row * view.columns;
      const from = row * columns;
      for (let column = 0; column < columns; column++)
        whole[into + column] = (whole[into + column] as number) + (part[from + column] as number);
    }
  }
}

/** ids, rows, targets and mask of a micro-batch. */
function feedsOf({ rows, length }: MicroBatch, shape: ModelShape): Record<string, Tensor> {
  const { ids, positions, targets } = padRows(rows, length);
  const queries = (shape.heads / shape.kvHeads) * length;
  const mask = new Float32Array(queries * length);
  const window = shape.slidingWindow ?? length;
  for (let query = 0; query < queries; query++) {
    const own = query * length + (query % length);
    mask.fill(FORBIDDEN, own + 1, (query + 1) * length);
    mask.fill(FORBIDDEN, query * length, Math.max(query * length, own + 1 - window));
  }
  return {
    ids: { type: 'int64', dims: [rows.length, length], data: ids },
    rows: int64Tensor([positions.length], positions),
    targets: int64Tensor([targets.length], targets),
    mask: floatTensor([1, 1, queries, length], mask),
  };
}
