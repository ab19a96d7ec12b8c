import { type Genome, uniformGenome } from '@fleetlora/shared/space';

/** Candidates of the tiny model that differ in every way a candidate can. */
export const tinyGenomes: Readonly<Record<string, Genome>> = {
  'rank 4, width 24 everywhere': uniformGenome(2, 4, 24),
  'rank 1, width 12 everywhere': uniformGenome(2, 1, 12),
  'every group and layer its own rank, widths 12 and 18': {
    form: 'unmerged',
    layers: [
      { ranks: { qkv: 3, o: 1, gateUp: 2, down: 4 }, width: 12 },
      { ranks: { qkv: 1, o: 4, gateUp: 3, down: 2 }, width: 18 },
    ],
  },
  'rank 0 in some groups, widths 24 and 1': {
    form: 'unmerged',
    layers: [
      { ranks: { qkv: 0, o: 2, gateUp: 0, down: 1 }, width: 24 },
      { ranks: { qkv: 2, o: 0, gateUp: 1, down: 0 }, width: 1 },
    ],
  },
};

/** The same choices in the other form. */
export const merged = (genome: Genome): Genome => ({ ...genome, form: 'merged' });
