import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { CodedError } from '../errors.js';
import { describeMismatch } from '../protocol/describe-mismatch.js';
import { forms, moduleGroups, type Precision, precisions } from './genome.js';

const Ranks = Type.Array(Type.Integer({ minimum: 0, maximum: 4096 }), { minItems: 1, maxItems: 32 });
const Group = Type.Enum([...moduleGroups]);

/**
 * A search-space file. `ranks` gives each module group its choices, or names the group whose
 * choice it follows; `widthPercents` are shares of the FFN width; `layers` optionally limits the
 * elastic axes to some layers, all others keep the largest choice. `kvHeads` are numbers of key/value
 * heads kept, each with its query heads, `half` for all and half of them; `skippable` names layers that may
 * be left out, `alternate` for every second one between the first and the last; `precisions`
 * are those of the base files that a candidate may run on. Merged candidates exist in fp32 alone.
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
    /** Absent: fp32. */
    precisions: Type.Optional(Type.Array(Type.Enum([...precisions]), { minItems: 1, maxItems: 3 })),
    /** Absent: all. */
    kvHeads: Type.Optional(
      Type.Union([
        Type.Array(Type.Integer({ minimum: 1, maximum: 4096 }), { minItems: 1, maxItems: 32 }),
        Type.Literal('half'),
      ]),
    ),
    /** Absent: none. */
    skippable: Type.Optional(
      Type.Union([
        Type.Array(Type.Integer({ minimum: 0, maximum: 127 }), { maxItems: 128 }),
        Type.Literal('alternate'),
      ]),
    ),
    /** The space is this genome alone; the other choices then only say which modules are adapted. */
    candidate: Type.Optional(Type.String({ maxLength: 3600 })),
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
  const offered = offeredPrecisions(value);
  if (value.forms.includes('merged') && !offered.includes('fp32'))
    throw new CodedError(
      'SPACE_INVALID',
      `search space: forms offers merged, which exists in fp32 alone, precisions offers ${offered.join(', ')}`,
    );
  if (!value.forms.includes('unmerged') && offered.length > 1)
    throw new CodedError(
      'SPACE_INVALID',
      `search space: precisions offers ${offered.join(', ')}, forms only merged, which exists in fp32 alone`,
    );
  return value;
}

/** Precisions that a space offers, from the smallest numbers to the largest. */
export function offeredPrecisions({ precisions: offered = ['fp32'] }: SearchSpaceFile): Precision[] {
  return precisions.filter((one) => offered.includes(one)).toReversed();
}
