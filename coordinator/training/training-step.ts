import {
  buildTrainingGraph,
  groupOf,
  type ModelShape,
  type ModuleName,
  type WeightFile,
} from '@fleetlora/shared/graph';
import {
  floatTensor,
  int64Tensor,
  type Runtime,
  type RuntimeSession,
  type Tensor,
} from '@fleetlora/shared/runtime';
import { type Genome, moduleGroups } from '@fleetlora/shared/space';
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
}

export interface StepOutcome {
  /** Mean negative log-likelihood a target token of each sub-network, nats. */
  readonly losses: readonly number[];
  /** Tokens run forward and backward, padding not counted. */
  readonly tokens: number;
}

/** Gradients of a batch under several sub-networks, over one session for all of them. */
export interface TrainingStep {
  /** Sets `parameters.gradient` to the mean over sub-networks of the mean-token-loss gradient. */
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
  const { shape, modules } = options;
  const session = await runtime.createSession(buildTrainingGraph(options), {
    weightFolder: options.weightFolder,
    threads: options.threads,
    weights: 'mapped',
  });
  const groups = moduleGroups.filter((group) => modules.some((module) => groupOf[module] === group));
  return {
    async accumulate(parameters, rows, subnets) {
      parameters.gradient.fill(0);
      const batches = packMicroBatches(rows, MICRO_BATCH_TOKENS).map((batch) => feedsOf(batch, shape));
      const targets = batches.reduce((sum, feeds) => sum + (feeds.targets?.data.length ?? 0), 0);
      const factors = Object.fromEntries(
        parameters.factors.map((view) => [
          view.name,
          floatTensor([view.rows, view.columns], parameters.valuesOf(view)),
        ]),
      );
      const fetches = ['loss', ...parameters.factors.map((view) => `grad.${view.name}`)];
      const losses: number[] = [];
      for (const subnet of subnets) {
        const choices: Record<string, Tensor> = {
          weight: floatTensor([], Float32Array.of(1 / (targets * subnets.length))),
        };
        subnet.layers.forEach(({ ranks, width }, layer) => {
          choices[`width.${layer}`] = int64Tensor([1], [width]);
          for (const group of groups) choices[`rank.${layer}.${group}`] = int64Tensor([1], [ranks[group]]);
        });
        let loss = 0;
        for (const feeds of batches)
          loss += await addGradients(session, { ...feeds, ...choices, ...factors }, fetches, parameters);
        losses.push(loss * subnets.length);
      }
      const tokens = rows.reduce((sum, row) => sum + row.ids.length, 0) * subnets.length;
      return { losses, tokens };
    },
    close: () => session.release(),
  };
}

/** Runs one micro-batch, adds its gradients into the flat vector and returns its weighted loss. */
async function addGradients(
  session: RuntimeSession,
  feeds: Readonly<Record<string, Tensor>>,
  fetches: readonly string[],
  parameters: LoraParameters,
): Promise<number> {
  const results = await session.run(feeds, fetches);
  for (const view of parameters.factors) {
    const tensor = results[`grad.${view.name}`];
    if (!tensor) continue;
    // A sub-network's gradient covers the top left block of the stored factor.
    const [rows = 0, columns = 0] = tensor.dims;
    const part = tensor.data as Float32Array;
    for (let row = 0; row < rows; row++) {
      const into = view.start + row * view.columns;
      const from = row * columns;
      for (let column = 0; column < columns; column++)
        parameters.gradient[into + column] =
          (parameters.gradient[into + column] as number) + (part[from + column] as number);
    }
  }
  return (results.loss?.data[0] as number | undefined) ?? Number.NaN;
}

/** ids, rows, targets and mask of a micro-batch. */
function feedsOf({ rows, length }: MicroBatch, shape: ModelShape): Record<string, Tensor> {
  const { ids, positions, targets } = padRows(rows, length);
  const queries = (shape.heads / shape.kvHeads) * length;
  const mask = new Float32Array(queries * length);
  for (let query = 0; query < queries; query++)
    mask.fill(FORBIDDEN, query * length + (query % length) + 1, (query + 1) * length);
  return {
    ids: { type: 'int64', dims: [rows.length, length], data: ids },
    rows: int64Tensor([positions.length], positions),
    targets: int64Tensor([targets.length], targets),
    mask: floatTensor([1, 1, queries, length], mask),
  };
}
