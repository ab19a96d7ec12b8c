import type { SearchSpaceFile } from './search-space.js';

/**
 * Spaces of the published systems. Rank choices and tied modules are the papers'; forms are ours
 * (none of them measures merged against unmerged).
 * @source LoNAS, LREC-COLING 2024 main 940, LLaMA-7B configuration: q,k,v share one rank in
 *   [32, 28]; FFN width in five steps from 100 to 50 %; gate/up rank in [32, 28], down follows.
 * @source Shears, arXiv 2404.10934: rank only, [32, 24, 16] for q,k,v, for up and for down.
 */
export const presets: Readonly<Record<string, SearchSpaceFile>> = {
  lonas: {
    version: 1,
    name: 'lonas',
    description: 'Elastic rank and FFN width (LoNAS)',
    rankMax: 32,
    alpha: 64,
    ranks: { qkv: [32, 28], o: [0], gateUp: [32, 28], down: 'gateUp' },
    widthPercents: [100, 87.5, 75, 62.5, 50],
    forms: ['unmerged', 'merged'],
  },
  shears: {
    version: 1,
    name: 'shears',
    description: 'Elastic rank only (Shears)',
    rankMax: 32,
    alpha: 64,
    ranks: { qkv: [32, 24, 16], o: [0], gateUp: [32, 24, 16], down: [32, 24, 16] },
    widthPercents: [100],
    forms: ['unmerged', 'merged'],
  },
  tied: {
    version: 1,
    name: 'tied',
    description: 'One rank for a whole layer in 4, 16, 32 and FFN width in 100, 75, 50 %',
    rankMax: 32,
    alpha: 64,
    ranks: { qkv: [4, 16, 32], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
    widthPercents: [100, 75, 50],
    forms: ['unmerged', 'merged'],
  },
};
