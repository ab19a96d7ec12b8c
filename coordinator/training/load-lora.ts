import { CodedError } from '@fleetlora/shared/errors';
import { cutShape, groupOf, type ModelShape, moduleDims } from '@fleetlora/shared/graph';
import type { Genome } from '@fleetlora/shared/space';
import { readFloats, type TensorFile } from '@fleetlora/shared/weights';
import type { LoraParameters } from './lora-parameters.js';

/**
 * Fills the parameters with the factors of an adapter file, as far as `largest`, the largest
 * sub-network to train, uses them; all else is zero, and stays so, because it gets no gradient.
 * @throws WEIGHT_SHAPE when the file has fewer ranks than wanted, WEIGHT_MISSING without the module
 */
export async function loadLora(
  parameters: LoraParameters,
  file: TensorFile,
  shape: ModelShape,
  largest: Genome,
): Promise<void> {
  parameters.values.fill(0);
  for (const view of parameters.factors) {
    const genes = largest.layers[view.layer];
    const rank = genes?.ranks[groupOf[view.module]] ?? 0;
    if (!genes || rank === 0) continue;
    const found = file.tensors.get(view.name)?.shape[0] ?? rank;
    if (found < rank)
      throw new CodedError(
        'WEIGHT_SHAPE',
        `${view.name} of the adapter to start with has rank ${found}, wanted ${rank}`,
      );
    const stored = await readFloats(file, view.name, [found, view.columns]);
    const used = moduleDims(cutShape(shape, genes), view.module)[view.factor === 'A' ? 0 : 1];
    const values = parameters.valuesOf(view);
    for (let row = 0; row < rank; row++) {
      const from = row * view.columns;
      values.set(stored.subarray(from, from + used), from);
    }
  }
}
