import { CodedError } from '../errors.js';
import { moduleNames } from '../graph/model-shape.js';
import type { AdapterFacts } from './package-plan.js';
import type { TensorFile } from './tensor-file.js';

/**
 * Rank, alpha and modules a super-adapter file records.
 * @throws ADAPTER_CONFIG when the record is missing or impossible
 */
export function readAdapterFacts(file: TensorFile): AdapterFacts {
  const rankMax = Number(file.metadata.rankMax);
  const alpha = Number(file.metadata.alpha);
  if (!Number.isInteger(rankMax) || rankMax < 1)
    throw new CodedError(
      'ADAPTER_CONFIG',
      `adapter file records rankMax = ${file.metadata.rankMax}, wanted a positive integer`,
    );
  if (!Number.isFinite(alpha) || alpha <= 0)
    throw new CodedError(
      'ADAPTER_CONFIG',
      `adapter file records alpha = ${file.metadata.alpha}, wanted a positive number`,
    );
  return {
    rankMax,
    alpha,
    modules: moduleNames.filter((module) => file.tensors.has(`layers.0.${module}.A`)),
  };
}
