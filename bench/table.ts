import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { compareTable, readBanking77, readTable } from './figures/table-figures.js';
import { atLeast, atMost, type Bench, skip } from './lib/bench.js';
import { prepareAdapter, prepareBase } from './lib/prepare-model.js';
import { findReference } from './lib/reference.js';

const QUICK_GENOMES = 3;
const DEFAULT_GENOMES = 6;

/** Accuracy of sub-networks, counted by our scorer, against a table computed by PyTorch in fp32. */
export const tableProof: Bench = {
  name: 'proof:table',
  summary: 'accuracy of sub-networks against the PyTorch table, in rows of 1,540',
  options: {
    base: 'Hugging Face folder of the base (models/tiny-llama-7m of the reference folder)',
    adapter: 'PEFT folder of the super-adapter (models/banking77-super-adapter)',
    data: 'CSV of Banking77 test rows (data/banking77_test.csv)',
    table: 'table of sub-networks (nas-table/banking77-random100.json)',
    genomes: `how many of its sub-networks (${DEFAULT_GENOMES}, quick ${QUICK_GENOMES})`,
  },
  async run({ quick, options, workFolder, say }) {
    const count = Number(options.genomes ?? (quick ? QUICK_GENOMES : DEFAULT_GENOMES));
    if (!Number.isInteger(count) || count < 1)
      throw new CodedError('BAD_USAGE', `--genomes ${options.genomes} is not a whole number from 1`);
    const base = options.base ?? findReference('models', 'tiny-llama-7m');
    const adapterFolder = options.adapter ?? findReference('models', 'banking77-super-adapter');
    const data = options.data ?? findReference('data', 'banking77_test.csv');
    const table = options.table ?? findReference('nas-table', 'banking77-random100.json');
    if (base === null || adapterFolder === null || data === null || table === null)
      return skip('no reference folder: name --base, --adapter, --data and --table');
    const prepared = await prepareBase(base, join(workFolder, 'weights'));
    const adapter = await prepareAdapter(adapterFolder, prepared);
    const rows = await readBanking77(data, prepared);
    const entries = await readTable(table, count);
    const comparisons = await compareTable(
      createNodeRuntime(),
      prepared,
      adapter,
      rows,
      entries,
      (comparison) =>
        say(
          `${comparison.name}: counted ${comparison.found.join('/')}, the table has ${comparison.wanted.join('/')}`,
        ),
    );
    const maxCountDifference = Math.max(...comparisons.map(({ difference }) => difference));
    return {
      figures: {
        genomes: comparisons.length,
        rows: rows.length,
        maxCountDifference,
        comparisons: comparisons.map((comparison) => ({ ...comparison })),
      },
      checks: [
        atLeast('genomes', comparisons.length, 1),
        atMost('maxCountDifference', maxCountDifference, 2, ' rows'),
      ],
    };
  },
};
