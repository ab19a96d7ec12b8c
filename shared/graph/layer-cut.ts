import { CodedError } from '../errors.js';
import { type Genome, type LayerGenome, moduleGroups, type Precision } from '../space/genome.js';
import { type BaseLayout, quantBlock } from './base-layout.js';
import type { ModelShape } from './model-shape.js';

/** The shape that a model would have if all its layers were cut like this one. */
export function cutShape(shape: ModelShape, genes: LayerGenome): ModelShape {
  const kvHeads = genes.kvHeads ?? shape.kvHeads;
  const heads = kvHeads * (shape.heads / shape.kvHeads);
  return { ...shape, heads, kvHeads, ffnWidth: genes.width };
}

/** A layer that a candidate computes. */
export interface ActiveLayer {
  /** Number of the layer in the model. */
  readonly layer: number;
  readonly genes: LayerGenome;
}

/** The layers that are not left out, in their order. */
export function activeLayers(genome: Genome): ActiveLayer[] {
  return genome.layers.flatMap((genes, layer) => (genes.skipped ? [] : [{ layer, genes }]));
}

/** That of the base file that a candidate runs on; a genome that names none means fp32. */
export const precisionOf = (genome: Genome): Precision => genome.precision ?? 'fp32';

/**
 * Checks that a candidate can be cut from a base file, before anything computes with it.
 * @param rankMax rows that the super-adapter's factors have; null where there is none
 * @throws GENOME_OUTSIDE_SPACE naming the layer, the value found and what is possible
 */
export function checkFit(
  genome: Genome,
  layout: Pick<BaseLayout, 'shape' | 'precision'>,
  rankMax: number | null,
): void {
  const { shape, precision } = layout;
  const refuse = (message: string): CodedError => new CodedError('GENOME_OUTSIDE_SPACE', message);
  if (genome.layers.length !== shape.layers)
    throw refuse(`genome has ${genome.layers.length} layers, the base ${shape.layers}`);
  if (precisionOf(genome) !== precision)
    throw refuse(`genome has precision ${precisionOf(genome)}, the base file ${precision}`);
  if (genome.form === 'merged' && precision !== 'fp32')
    throw refuse(`genome is merged in precision ${precision}, merged candidates are possible in fp32`);
  if (activeLayers(genome).length === 0)
    throw refuse(`genome leaves all ${shape.layers} layers out, at least one must stay`);
  for (const { layer, genes } of activeLayers(genome)) {
    const { width, kvHeads, ranks } = genes;
    if (!Number.isInteger(width) || width < 1 || width > shape.ffnWidth)
      throw refuse(
        `layer ${layer} of the genome has FFN width ${width}, the base allows 1 to ${shape.ffnWidth}`,
      );
    if (precision !== 'fp32' && width % quantBlock !== 0)
      throw refuse(
        `layer ${layer} of the genome has FFN width ${width}, in ${precision} a multiple of ${quantBlock} is possible`,
      );
    if (kvHeads !== undefined && !(Number.isInteger(kvHeads) && kvHeads >= 1 && kvHeads < shape.kvHeads))
      throw refuse(
        `layer ${layer} of the genome keeps ${kvHeads} key/value heads, fewer than the ${shape.kvHeads} of the base are possible, or none named`,
      );
    for (const group of moduleGroups)
      if (rankMax !== null && ranks[group] > rankMax)
        throw refuse(
          `layer ${layer} of the genome has ${group} rank ${ranks[group]}, the super-adapter's largest is ${rankMax}`,
        );
  }
}
