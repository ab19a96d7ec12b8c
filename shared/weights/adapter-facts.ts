import { CodedError } from '../errors.js';
import { moduleNames } from '../graph/model-shape.js';
import { type Precision, precisions } from '../space/genome.js';
import type { AdapterFacts } from './package-plan.js';
import { quoteValue } from './quote-value.js';
import type { TensorFile } from './tensor-file.js';

/**
 * Rank, alpha, modules and mask a super-adapter file records.
 * @throws ADAPTER_CONFIG when the record is missing or impossible
 */
export function readAdapterFacts(file: TensorFile): AdapterFacts {
  const rankMax = Number(file.metadata.rankMax);
  const alpha = Number(file.metadata.alpha);
  const { masked } = file.metadata;
  if (!Number.isInteger(rankMax) || rankMax < 1)
    throw new CodedError(
      'ADAPTER_CONFIG',
      `adapter file records rankMax = ${quoteValue(file.metadata.rankMax)}, wanted a positive integer`,
    );
  if (!Number.isFinite(alpha) || alpha <= 0)
    throw new CodedError(
      'ADAPTER_CONFIG',
      `adapter file records alpha = ${quoteValue(file.metadata.alpha)}, wanted a positive number`,
    );
  const maskedBy = precisions.find((one) => one === masked);
  if (masked !== undefined && maskedBy === undefined)
    throw new CodedError(
      'ADAPTER_CONFIG',
      `adapter file records masked = ${quoteValue(masked)}, wanted ${precisions.join(', ')} or nothing`,
    );
  return {
    rankMax,
    alpha,
    ...(maskedBy !== undefined && { masked: maskedBy }),
    modules: moduleNames.filter((module) => file.tensors.has(`layers.0.${module}.A`)),
  };
}

/**
 * Makes sure that a super-adapter is used beside the weights that mask it.
 * @throws ADAPTER_OTHER_BASE naming both precisions
 */
export function requireMask({ masked }: AdapterFacts, precision: Precision): void {
  if (masked !== undefined && masked !== precision)
    throw new CodedError(
      'ADAPTER_OTHER_BASE',
      `the adapter is masked by the zeros of its base in ${masked}, found the base in ${precision}`,
    );
}
