import type { SearchSpaceFile } from './space-file.js';

/** What the published systems have in common: the largest rank and alpha of their Llama configurations. */
const common = { version: 1, rankMax: 32, alpha: 64 } as const;
/** Rank choices of Shears and SQFT, as their papers state them. */
const shearsRanks = { qkv: [32, 24, 16], o: [0], gateUp: [32, 24, 16], down: [32, 24, 16] };

/**
 * Spaces of the published systems, and one of every axis. Rank choices, tied modules and the precision
 * of the base are the papers'; forms are ours (none of them measures merged against unmerged).
 * @source `lonas`: LoNAS, LREC-COLING 2024 main 940, LLaMA-7B configuration: q,k,v share one rank in
 *   [32, 28]; FFN width in five steps from 100 to 50 %; gate/up rank in [32, 28], down follows.
 * @source `shears`: Shears, arXiv 2404.10934, and its LLaMA configurations: rank only, [32, 24, 16] for
 *   q,k,v, for up and for down, on a base of which half the weights are zero. Our gate
 *   follows up: the variant of those configurations that adapts it too.
 * @source `sqft`: SQFT, arXiv 2410.03750: the ranks of Shears beside an INT4 base, which an adapter in
 *   floats cannot be merged into. Its later scripts offer 28 and 20 as well.
 * @source `nls`: neural low-rank adapter search in NNCF's quantisation-aware examples: one rank in
 *   [32, 24, 16] for all linear modules of a layer, on an INT4 base.
 * @source `full`: the widths of LoNAS; heads and layers of LLM compression with NAS, arXiv 2410.06479.
 */
export const presets: Readonly<Record<string, SearchSpaceFile>> = {
  lonas: {
    ...common,
    name: 'lonas',
    description: 'Elastic rank and FFN width (LoNAS)',
    ranks: { qkv: [32, 28], o: [0], gateUp: [32, 28], down: 'gateUp' },
    widthPercents: [100, 87.5, 75, 62.5, 50],
    forms: ['unmerged', 'merged'],
  },
  shears: {
    ...common,
    name: 'shears',
    description: 'Elastic rank only (Shears)',
    ranks: shearsRanks,
    widthPercents: [100],
    forms: ['unmerged', 'merged'],
  },
  sqft: {
    ...common,
    name: 'sqft',
    description: 'Elastic rank beside a 4-bit base (SQFT)',
    ranks: shearsRanks,
    widthPercents: [100],
    forms: ['unmerged'],
    precisions: ['q4'],
  },
  nls: {
    ...common,
    name: 'nls',
    description: 'One elastic rank a layer beside a 4-bit base (NLS)',
    ranks: { qkv: [32, 24, 16], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
    widthPercents: [100],
    forms: ['unmerged'],
    precisions: ['q4'],
  },
  full: {
    ...common,
    name: 'full',
    description:
      'Every axis: rank of each group 4 to 32, FFN width, all or half of the heads, every second layer, precision, form',
    ranks: { qkv: [32, 16, 8, 4], o: [32, 16, 8, 4], gateUp: [32, 16, 8, 4], down: [32, 16, 8, 4] },
    widthPercents: [100, 87.5, 75, 62.5, 50],
    kvHeads: 'half',
    skippable: 'alternate',
    precisions: ['fp32', 'q8', 'q4'],
    forms: ['unmerged', 'merged'],
  },
  tied: {
    ...common,
    name: 'tied',
    description: 'One rank for a whole layer in 4, 16, 32 and FFN width in 100, 75, 50 %',
    ranks: { qkv: [4, 16, 32], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
    widthPercents: [100, 75, 50],
    forms: ['unmerged', 'merged'],
  },
};
