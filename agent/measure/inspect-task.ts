import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { type BaseLayout, checkFit, readBaseLayout } from '@fleetlora/shared/graph';
import { openFileSource } from '@fleetlora/shared/node';
import { limits, mostResultSamples, resultSamples } from '@fleetlora/shared/protocol';
import { decodeGenome, type Genome, shapeOf } from '@fleetlora/shared/space';
import {
  type AdapterFacts,
  packageSize,
  readAdapterFacts,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { positionsOf } from './check-candidate.js';
import type { MeasureTask } from './measure-task.js';

export interface InspectedCandidate {
  readonly text: string;
  readonly genome: Genome;
  /** What a release of it ships when it is not merged. */
  readonly unmergedBytes: number;
}

export interface InspectedTask {
  readonly candidates: readonly [InspectedCandidate, ...InspectedCandidate[]];
  readonly vocab: number;
  /** Capacity of the KV cache. */
  readonly positions: number;
}

/**
 * Reads the headers of the files and checks all candidates against them and each other.
 * @throws NOT_FOUND, SAFETENSORS_* and others for files that cannot be read; GENOME_* and
 *   BAD_REQUEST for candidates and plans that do not fit
 */
export async function inspectTask(task: MeasureTask): Promise<InspectedTask> {
  const open = <T>(name: string, read: (file: TensorFile) => T): Promise<T> =>
    readHeader(join(task.folder, name), read);
  const layout = await open(task.base, readBaseLayout);
  const facts = await open(task.adapter, readAdapterFacts);
  const candidates = [
    inspect(task.genome, layout, facts),
    ...(task.others ?? []).map((text) => inspect(text, layout, facts)),
  ] as const;
  checkBatch(candidates);
  if (task.sentinel !== undefined) {
    const own = task.sentinelBase === undefined ? layout : await open(task.sentinelBase, readBaseLayout);
    checkSentinel(inspect(task.sentinel, own, facts));
  }
  checkSamples(task);
  const { shape } = layout;
  return { candidates: [...candidates], vocab: shape.vocab, positions: positionsOf(task.plan, shape) };
}

async function readHeader<T>(path: string, read: (file: TensorFile) => T): Promise<T> {
  const source = await openFileSource(path);
  try {
    return read(await readTensorFile(source));
  } finally {
    await source.close();
  }
}

function inspect(text: string, layout: BaseLayout, facts: AdapterFacts): InspectedCandidate {
  const genome = decodeGenome(text);
  checkFit(genome, layout, facts.rankMax);
  return { text, genome, unmergedBytes: packageSize(genome, layout.shape, facts) };
}

/** @throws BAD_REQUEST when candidates cannot share a session */
function checkBatch([first, ...others]: readonly [InspectedCandidate, ...InspectedCandidate[]]): void {
  if (others.length === 0) return;
  if (others.length >= limits.batch)
    throw new CodedError(
      'BAD_REQUEST',
      `a batch of ${others.length + 1} candidates was given, at most ${limits.batch} are compared`,
    );
  if (first.genome.form === 'merged')
    throw new CodedError(
      'BAD_REQUEST',
      `a batch of merged candidates was given (${first.text}), wanted unmerged ones: merged ones share no session`,
    );
  const shape = shapeOf(first.genome);
  for (const { text, genome } of others)
    if (shapeOf(genome) !== shape)
      throw new CodedError(
        'BAD_REQUEST',
        `${text} has another shape than ${first.text}, wanted candidates of a batch to differ in ranks above 0 alone`,
      );
}

/** @throws BAD_REQUEST for a merged one, whose files nobody has made */
function checkSentinel({ genome, text }: InspectedCandidate): void {
  if (genome.form === 'merged')
    throw new CodedError('BAD_REQUEST', `the sentinel ${text} is merged, wanted an unmerged one`);
}

/** @throws BAD_REQUEST when the samples would not fit into the message of a result */
function checkSamples({ plan, others = [], sentinel }: MeasureTask): void {
  const candidates = 1 + others.length;
  const samples = resultSamples(plan, candidates, sentinel === undefined ? 'alone' : 'besideSentinel');
  if (samples > mostResultSamples)
    throw new CodedError(
      'BAD_REQUEST',
      `the result of ${candidates} candidates would hold ${samples} samples, at most ${mostResultSamples} fit into its message`,
    );
}
