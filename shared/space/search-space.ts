import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { CodedError } from '../errors.js';
import { describeMismatch } from '../protocol/describe-mismatch.js';
import type { Random } from '../random.js';
import { type Form, forms, type Genome, type LayerGenome, type ModuleGroup, moduleGroups } from './genome.js';

const Ranks = Type.Array(Type.Integer({ minimum: 0, maximum: 4096 }), { minItems: 1, maxItems: 32 });
const Group = Type.Enum([...moduleGroups]);

/**
 * A search-space file. `ranks` gives each module group its choices, or names the group whose
 * choice it follows; `widthPercents` are shares of the FFN width; `layers` optionally limits the
 * elastic axes to some layers, all others keep the largest choice.
 */
export const SearchSpaceSchema = Type.Object(
  {
    version: Type.Literal(1),
    name: Type.String({ minLength: 1, maxLength: 64 }),
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    rankMax: Type.Integer({ minimum: 1, maximum: 4096 }),
    alpha: Type.Number({ exclusiveMinimum: 0, maximum: 65536 }),
    ranks: Type.Object(
      {
        qkv: Type.Union([Ranks, Group]),
        o: Type.Union([Ranks, Group]),
        gateUp: Type.Union([Ranks, Group]),
        down: Type.Union([Ranks, Group]),
      },
      { additionalProperties: false },
    ),
    widthPercents: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 100 }), {
      minItems: 1,
      maxItems: 32,
    }),
    layers: Type.Optional(Type.Array(Type.Integer({ minimum: 0, maximum: 127 }), { maxItems: 128 })),
    forms: Type.Array(Type.Enum([...forms]), { minItems: 1, maxItems: 2 }),
  },
  { additionalProperties: false },
);
export type SearchSpaceFile = Static<typeof SearchSpaceSchema>;

const spaceCheck = Compile(SearchSpaceSchema);

/** Parses a space file's JSON value. @throws SPACE_INVALID naming the place and the reason */
export function parseSearchSpace(value: unknown): SearchSpaceFile {
  if (!spaceCheck.Check(value))
    throw new CodedError('SPACE_INVALID', `search space: ${describeMismatch(spaceCheck, value, 'the file')}`);
  for (const group of moduleGroups) {
    const choices = value.ranks[group];
    if (typeof choices === 'string') {
      if (!Array.isArray(value.ranks[choices]))
        throw new CodedError(
          'SPACE_INVALID',
          `search space: ranks.${group} follows "${choices}", which has no choices of its own`,
        );
    } else if (Math.max(...choices) > value.rankMax) {
      throw new CodedError(
        'SPACE_INVALID',
        `search space: ranks.${group} offers ${Math.max(...choices)}, above rankMax ${value.rankMax}`,
      );
    }
  }
  return value;
}

/** One decision of a space: an index into `choices`, which run from smallest to largest. */
export interface Gene {
  readonly name: string;
  readonly choices: readonly (number | Form)[];
  /** Whether neighbouring choices are alike (ranks, widths) or mere names (form). */
  readonly order: 'ordinal' | 'categorical';
}

/** A space bound to a model: a list of genes and the way from choices to genomes. */
export interface SearchSpace {
  readonly file: SearchSpaceFile;
  readonly layerCount: number;
  readonly ffnWidth: number;
  readonly genes: readonly Gene[];
  /** Number of distinct genomes. */
  readonly size: number;
  toGenome(indices: readonly number[]): Genome;
  /** @throws GENOME_OUTSIDE_SPACE naming the layer, the value found and the choices */
  toIndices(genome: Genome): number[];
}

const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);

/**
 * Binds a space file to a model of `layerCount` layers and `ffnWidth` FFN channels.
 * @throws SPACE_INVALID when a width percent is not a whole number of channels
 */
export function bindSearchSpace(
  file: SearchSpaceFile,
  model: { readonly layerCount: number; readonly ffnWidth: number },
): SearchSpace {
  const widths = ascending(
    file.widthPercents.map((percent) => {
      const width = (model.ffnWidth * percent) / 100;
      if (!Number.isInteger(width))
        throw new CodedError(
          'SPACE_INVALID',
          `search space: ${percent} % of ${model.ffnWidth} FFN channels is ${width}, not a whole number`,
        );
      return width;
    }),
  );
  const rankChoices = (group: ModuleGroup): number[] => {
    const choices = file.ranks[group];
    return ascending(typeof choices === 'string' ? (file.ranks[choices] as number[]) : choices);
  };
  const leader = (group: ModuleGroup): ModuleGroup => {
    const choices = file.ranks[group];
    return typeof choices === 'string' ? choices : group;
  };
  const outside = file.layers?.find((layer) => layer >= model.layerCount);
  if (outside !== undefined)
    throw new CodedError(
      'SPACE_INVALID',
      `search space: layer ${outside} is named, the model has layers 0 to ${model.layerCount - 1}`,
    );

  interface Slot extends Gene {
    readonly layer: number;
    readonly axis: ModuleGroup | 'width' | 'form';
  }
  const slots: Slot[] = [];
  for (let layer = 0; layer < model.layerCount; layer++) {
    if (file.layers && !file.layers.includes(layer)) continue;
    for (const group of moduleGroups) {
      if (leader(group) === group && rankChoices(group).length > 1)
        slots.push({
          layer,
          axis: group,
          name: `layer${layer}.${group}.rank`,
          choices: rankChoices(group),
          order: 'ordinal',
        });
    }
    if (widths.length > 1)
      slots.push({ layer, axis: 'width', name: `layer${layer}.width`, choices: widths, order: 'ordinal' });
  }
  const spaceForms = forms.filter((form) => file.forms.includes(form));
  if (spaceForms.length > 1)
    slots.push({ layer: -1, axis: 'form', name: 'form', choices: spaceForms, order: 'categorical' });

  const slotOf = new Map(slots.map((slot, index) => [`${slot.layer}.${slot.axis}`, index]));
  const size = slots.reduce((product, slot) => product * slot.choices.length, 1);

  return {
    file,
    layerCount: model.layerCount,
    ffnWidth: model.ffnWidth,
    genes: slots,
    size,
    toGenome(indices) {
      const value = (key: string, fallback: number | Form): number | Form => {
        const index = slotOf.get(key);
        if (index === undefined) return fallback;
        return slots[index]?.choices[indices[index] ?? -1] ?? fallback;
      };
      const layers = Array.from({ length: model.layerCount }, (_, layer): LayerGenome => {
        const rank = (group: ModuleGroup): number =>
          value(`${layer}.${leader(group)}`, Math.max(...rankChoices(group))) as number;
        return {
          ranks: { qkv: rank('qkv'), o: rank('o'), gateUp: rank('gateUp'), down: rank('down') },
          width: value(`${layer}.width`, Math.max(...widths)) as number,
        };
      });
      return { form: value('-1.form', spaceForms[0] ?? 'unmerged') as Form, layers };
    },
    toIndices(genome) {
      if (genome.layers.length !== model.layerCount)
        throw new CodedError(
          'GENOME_OUTSIDE_SPACE',
          `genome has ${genome.layers.length} layers, the space ${model.layerCount}`,
        );
      const require = (where: string, found: number | Form, choices: readonly (number | Form)[]): number => {
        const index = choices.indexOf(found);
        if (index < 0)
          throw new CodedError(
            'GENOME_OUTSIDE_SPACE',
            `${where} is ${found}, the space allows ${choices.join(', ')}`,
          );
        return index;
      };
      const indices = slots.map((slot) => {
        const layer = genome.layers[slot.layer];
        const found =
          slot.axis === 'form' || !layer
            ? genome.form
            : slot.axis === 'width'
              ? layer.width
              : layer.ranks[slot.axis];
        return require(slot.name, found, slot.choices);
      });
      // Axes that are not genes (tied, fixed, or in a layer left out) must hold their only value.
      const rebuilt = this.toGenome(indices);
      require('form', genome.form, [rebuilt.form]);
      rebuilt.layers.forEach((expected, layer) => {
        const found = genome.layers[layer] as LayerGenome;
        for (const group of moduleGroups)
          require(`layer${layer}.${group}.rank`, found.ranks[group], [expected.ranks[group]]);
        require(`layer${layer}.width`, found.width, [expected.width]);
      });
      return indices;
    },
  };
}

/** A uniformly random genome. */
export function sampleGenome(space: SearchSpace, random: Random): Genome {
  return space.toGenome(space.genes.map((gene) => random.below(gene.choices.length)));
}

/**
 * The fixed points every search starts from: the largest, the middle and the smallest choice of
 * every ordinal gene. "Middle" of n choices is index floor((n-1)/2) counted from the largest, as
 * the LoNAS and Shears code takes it (their lists run from largest to smallest).
 */
export function anchorGenome(space: SearchSpace, anchor: 'max' | 'middle' | 'min', form?: Form): Genome {
  const genome = space.toGenome(
    space.genes.map((gene) => {
      const last = gene.choices.length - 1;
      if (gene.order === 'categorical') return 0;
      return anchor === 'max' ? last : anchor === 'min' ? 0 : last - Math.floor(last / 2);
    }),
  );
  return form === undefined ? genome : { ...genome, form };
}
