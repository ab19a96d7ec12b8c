import { CodedError } from '@fleetlora/shared/errors';
import type { ModelShape } from '@fleetlora/shared/graph';
import type { MeasurePlan } from '@fleetlora/shared/protocol';
import { type Genome, moduleGroups } from '@fleetlora/shared/space';
import type { AdapterFacts } from '@fleetlora/shared/weights';

/**
 * Checks that a candidate can be cut from this base and super-adapter at all.
 * @throws GENOME_OUTSIDE_SPACE naming the layer, the value found and the largest possible
 */
export function checkGenomeFits(genome: Genome, shape: ModelShape, adapter: AdapterFacts): void {
  if (genome.layers.length !== shape.layers)
    throw new CodedError(
      'GENOME_OUTSIDE_SPACE',
      `genome has ${genome.layers.length} layers, the base ${shape.layers}`,
    );
  genome.layers.forEach(({ ranks, width }, layer) => {
    if (width < 1 || width > shape.ffnWidth)
      throw new CodedError(
        'GENOME_OUTSIDE_SPACE',
        `layer ${layer} of the genome has FFN width ${width}, the base allows 1 to ${shape.ffnWidth}`,
      );
    for (const group of moduleGroups)
      if (ranks[group] > adapter.rankMax)
        throw new CodedError(
          'GENOME_OUTSIDE_SPACE',
          `layer ${layer} of the genome has ${group} rank ${ranks[group]}, the super-adapter's largest is ${adapter.rankMax}`,
        );
  });
}

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
