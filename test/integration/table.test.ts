import { join } from 'node:path';
import {
  compareTable,
  readBanking77,
  readTable,
  type TableEntry,
} from '@fleetlora/bench/figures/table-figures';
import { prepareAdapter, prepareBase } from '@fleetlora/bench/lib/prepare-model';
import { createNodeRuntime } from '@fleetlora/shared/node';
import t from 'tap';
import { findReference, missingReference } from '../lib/reference.js';

/** Of the table's entries the first random one: every layer has its own rank and width. */
const ENTRY = 6;

t.test(
  'PyTorch’s accuracy table: a sub-network of unequal layers, counted on all 3,080 rows, within 2 rows a split',
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
    const entries = await readTable(
      findReference('nas-table', 'banking77-random100.json') as string,
      ENTRY + 1,
    );
    const entry = entries[ENTRY] as TableEntry;
    t.ok(new Set(entry.genome.map(String)).size > 2, 'layers differ');
    const [comparison] = await compareTable(createNodeRuntime(), prepared, adapter, rows, [entry], () => {});
    t.ok(
      (comparison?.difference ?? 1540) <= 2,
      `counted ${comparison?.found.join(' and ')}, the table has ${comparison?.wanted.join(' and ')}`,
    );
  },
);
