import { join } from 'node:path';
import { compareTable, readBanking77, readTable } from '@fleetlora/bench/figures/table-figures';
import { prepareAdapter, prepareBase } from '@fleetlora/bench/lib/prepare-model';
import { createNodeRuntime } from '@fleetlora/shared/node';
import t from 'tap';
import { findReference, missingReference } from '../lib/reference.js';

/** The table starts with six named entries; the random ones behind have unequal layers. */
const FIRST_RANDOM = 6;
const GENOMES = 6;

t.test(
  'PyTorch’s accuracy table: 6 sub-networks of unequal layers, counted on all 3,080 rows, within 2 rows a split',
  {
    skip:
      missingReference('nas-table', 'banking77-random100.json') ||
      missingReference('data', 'banking77_test.csv') ||
      missingReference('models', 'banking77-super-adapter'),
  },
  async (t) => {
    const prepared = await prepareBase(
      findReference('models', 'tiny-llama-7m') as string,
      join(t.testdir(), 'weights'),
    );
    const adapter = await prepareAdapter(
      findReference('models', 'banking77-super-adapter') as string,
      prepared,
    );
    const rows = await readBanking77(findReference('data', 'banking77_test.csv') as string, prepared);
    t.equal(rows.length, 3080);
    const table = findReference('nas-table', 'banking77-random100.json') as string;
    const entries = (await readTable(table, FIRST_RANDOM + GENOMES)).slice(FIRST_RANDOM);
    t.ok(
      entries.every(({ genome }) => new Set(genome.map(String)).size > 2),
      'layers differ',
    );
    const comparisons = await compareTable(createNodeRuntime(), prepared, adapter, rows, entries, () => {});
    t.equal(comparisons.length, GENOMES);
    for (const { name, found, wanted, difference } of comparisons)
      t.ok(difference <= 2, `${name}: counted ${found.join(' and ')}, the table has ${wanted.join(' and ')}`);
  },
);
