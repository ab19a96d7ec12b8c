import { type Form, type ModuleGroup, moduleGroups, type Precision } from './genome.js';
import type { SpaceChoices } from './space-choices.js';

export type Choice = number | Form | Precision;

/** One decision of a space: an index into `choices`, which run from smallest to largest. */
export interface Gene {
  readonly name: string;
  readonly choices: readonly Choice[];
  /** Whether neighbouring choices are alike (ranks, widths, bits) or mere names (form). */
  readonly order: 'ordinal' | 'categorical';
}

/** A gene, and what of a candidate it decides. */
export interface PlacedGene extends Gene {
  /** -1 for what is of the whole candidate. */
  readonly layer: number;
  readonly axis: ModuleGroup | 'width' | 'kvHeads' | 'kept' | 'precision' | 'form';
}

/** The genes of a space; what leaves no choice has none. */
export function placeGenes(choices: SpaceChoices): PlacedGene[] {
  const { elastic, skippable, ranks, leaders, widths, heads, precisions, forms } = choices;
  const ordinal = (layer: number, axis: PlacedGene['axis'], name: string, of: readonly Choice[]) => ({
    layer,
    axis,
    name,
    choices: of,
    order: 'ordinal' as const,
  });
  const genes: PlacedGene[] = skippable.map((layer) => ordinal(layer, 'kept', `layer${layer}.kept`, [0, 1]));
  for (const layer of elastic) {
    for (const group of moduleGroups)
      if (leaders[group] === group)
        genes.push(ordinal(layer, group, `layer${layer}.${group}.rank`, ranks[group]));
    genes.push(ordinal(layer, 'width', `layer${layer}.width`, widths));
    genes.push(ordinal(layer, 'kvHeads', `layer${layer}.kvHeads`, heads));
  }
  genes.push(ordinal(-1, 'precision', 'precision', precisions));
  genes.push({ layer: -1, axis: 'form', name: 'form', choices: forms, order: 'categorical' });
  return genes.filter((gene) => gene.choices.length > 1);
}

/** Distinct genomes: a layer that is left out has no other choice, a merged one no precision. */
export function countGenomes(genes: readonly PlacedGene[], choices: SpaceChoices): number {
  const { layerCount, precisions, forms } = choices;
  let size = forms.length === 2 ? precisions.length + 1 : precisions.length;
  for (let layer = 0; layer < layerCount; layer++) {
    const own = genes.filter((gene) => gene.layer === layer);
    const kept = own
      .filter(({ axis }) => axis !== 'kept')
      .reduce((product, gene) => product * gene.choices.length, 1);
    size *= own.some(({ axis }) => axis === 'kept') ? kept + 1 : kept;
  }
  // Of a hundred layers and every axis no number can say it.
  return Math.min(size, Number.MAX_VALUE);
}
