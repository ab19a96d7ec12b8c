import { CodedError } from '../errors.js';
import {
  type Form,
  type Genome,
  type LayerGenome,
  type ModuleGroup,
  moduleGroups,
  type Precision,
  skippedLayer,
} from './genome.js';
import { bindOneCandidate } from './one-candidate.js';
import { resolveChoices, type SpaceChoices, type SpaceModel } from './space-choices.js';
import type { SearchSpaceFile } from './space-file.js';
import { type Choice, countGenomes, type Gene, type PlacedGene, placeGenes } from './space-genes.js';

/** A space bound to a model: a list of genes and the way from choices to genomes. */
export interface SearchSpace {
  readonly file: SearchSpaceFile;
  readonly layerCount: number;
  readonly ffnWidth: number;
  /**
   * Those that say whether a layer is there come first: counting through the space from its first
   * gene on, every second step is then another genome, though genes of absent layers say nothing.
   */
  readonly genes: readonly Gene[];
  /** Number of distinct genomes. */
  readonly size: number;
  /** Genes of a layer that is left out say nothing, and merged in the form wins over other precisions. */
  toGenome(indices: readonly number[]): Genome;
  /**
   * One of the choices that `toGenome` makes this genome of; genes of absent layers at their largest.
   * @throws GENOME_OUTSIDE_SPACE naming the layer, the value found and the choices
   */
  toIndices(genome: Genome): number[];
}

/**
 * Binds a space file to a model.
 * @throws SPACE_INVALID when a width percent is not a whole number of channels, or in a quantised base
 *   of blocks of them; when the model has not as many heads or layers; when no layer must stay
 */
export function bindSearchSpace(file: SearchSpaceFile, model: SpaceModel): SearchSpace {
  const { candidate } = file;
  if (candidate !== undefined) return bindOneCandidate({ ...file, candidate }, model);
  const choices = resolveChoices(file, model);
  const genes = placeGenes(choices);
  const toGenome = genomeMaker(genes, choices);
  return {
    file,
    layerCount: model.layerCount,
    ffnWidth: model.ffnWidth,
    genes,
    size: countGenomes(genes, choices),
    toGenome,
    toIndices(genome) {
      if (genome.layers.length !== model.layerCount)
        throw new CodedError(
          'GENOME_OUTSIDE_SPACE',
          `genome has ${genome.layers.length} layers, the space ${model.layerCount}`,
        );
      const indices = genes.map((gene) => indexOf(gene, genome, choices));
      requireEqual(genome, toGenome(indices), choices);
      return indices;
    },
  };
}

function genomeMaker(genes: readonly PlacedGene[], choices: SpaceChoices): SearchSpace['toGenome'] {
  const { layerCount, leaders, ranks, widths, heads, allHeads, precisions, forms } = choices;
  const placeOf = new Map(genes.map(({ layer, axis }, index) => [`${layer}.${axis}`, index]));
  return (indices) => {
    const value = <T extends Choice>(layer: number, axis: PlacedGene['axis'], fallback: T): T => {
      const place = placeOf.get(`${layer}.${axis}`);
      if (place === undefined) return fallback;
      return (genes[place]?.choices[indices[place] ?? -1] ?? fallback) as T;
    };
    const layers = Array.from({ length: layerCount }, (_, layer): LayerGenome => {
      if (value<number>(layer, 'kept', 1) === 0) return skippedLayer;
      const rank = (group: ModuleGroup): number => value(layer, leaders[group], Math.max(...ranks[group]));
      const kvHeads = value(layer, 'kvHeads', Math.max(...heads));
      return {
        ranks: { qkv: rank('qkv'), o: rank('o'), gateUp: rank('gateUp'), down: rank('down') },
        width: value(layer, 'width', Math.max(...widths)),
        ...(kvHeads !== allHeads && { kvHeads }),
      };
    });
    const precision = value<Precision>(-1, 'precision', precisions[0] ?? 'fp32');
    const form = value<Form>(-1, 'form', forms[0] ?? 'unmerged');
    return precision === 'fp32' ? { form, layers } : { form: 'unmerged', precision, layers };
  };
}

function requireChoice(where: string, found: Choice, choices: readonly Choice[]): number {
  const index = choices.indexOf(found);
  if (index < 0)
    throw new CodedError(
      'GENOME_OUTSIDE_SPACE',
      `${where} is ${found}, the space allows ${choices.join(', ')}`,
    );
  return index;
}

function indexOf(gene: PlacedGene, genome: Genome, { allHeads }: SpaceChoices): number {
  const { name, axis, choices } = gene;
  const layer = genome.layers[gene.layer] ?? skippedLayer;
  if (axis === 'form') return requireChoice(name, genome.form, choices);
  if (axis === 'precision') return requireChoice(name, genome.precision ?? 'fp32', choices);
  if (axis === 'kept') return layer.skipped ? 0 : 1;
  if (layer.skipped) return choices.length - 1;
  if (axis === 'width') return requireChoice(name, layer.width, choices);
  if (axis === 'kvHeads') return requireChoice(name, layer.kvHeads ?? allHeads, choices);
  return requireChoice(name, layer.ranks[axis], choices);
}

/**
 * Axes that are not genes (tied, fixed, or in a layer left out) must hold their only value.
 * @param rebuilt what the genes alone say
 */
function requireEqual(genome: Genome, rebuilt: Genome, { allHeads }: SpaceChoices): void {
  requireChoice('form', genome.form, [rebuilt.form]);
  requireChoice('precision', genome.precision ?? 'fp32', [rebuilt.precision ?? 'fp32']);
  rebuilt.layers.forEach((expected, layer) => {
    const found = genome.layers[layer] as LayerGenome;
    requireChoice(`layer${layer}.kept`, found.skipped ? 0 : 1, [expected.skipped ? 0 : 1]);
    for (const group of moduleGroups)
      requireChoice(`layer${layer}.${group}.rank`, found.ranks[group], [expected.ranks[group]]);
    requireChoice(`layer${layer}.width`, found.width, [expected.width]);
    requireChoice(`layer${layer}.kvHeads`, found.kvHeads ?? allHeads, [expected.kvHeads ?? allHeads]);
  });
}
