import { CodedError } from '@fleetlora/shared/errors';
import type { ModelShape } from '@fleetlora/shared/graph';
import type { MeasurePlan } from '@fleetlora/shared/protocol';

/**
 * Cache positions a plan needs: its prompt, or its cache and the one token of a step.
 * @throws BAD_REQUEST when the model's longest sequence is shorter
 */
export function positionsOf(plan: MeasurePlan, shape: ModelShape): number {
  const positions = Math.max(plan.promptTokens, plan.kvTokens + 1);
  if (positions > shape.positions)
    throw new CodedError(
      'BAD_REQUEST',
      `the plan needs ${positions} positions (prompt ${plan.promptTokens}, cache ${plan.kvTokens} and a step), the model has ${shape.positions}`,
    );
  return positions;
}
