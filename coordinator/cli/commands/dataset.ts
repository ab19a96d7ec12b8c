import { basename } from 'node:path';
import type { Dataset } from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import type { ApiClient } from '../api-client.js';
import { toName } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderTable } from '../table.js';
import { uploadFile } from '../upload-file.js';

interface Options extends ConnectionOptions {
  readonly name?: string;
  readonly json?: boolean;
}

/** Uploads `file` and registers it; the same bytes under the same name are registered once. */
export async function importDataset(
  context: CliContext,
  api: ApiClient,
  file: string,
  name = toName(basename(file).replace(/\.jsonl?$/, '')),
): Promise<Dataset> {
  const digest = await uploadFile(context, api, file);
  const known = (await api.call('listDatasets')).find(
    (dataset) => dataset.digest === digest && dataset.name === name,
  );
  return known ?? api.call('importDataset', { body: { name, files: { all: digest } } });
}

/** `fleetlora dataset import|list`. */
export function addDataset(program: Command, context: CliContext): void {
  const dataset = program
    .command('dataset')
    .summary('data: import, list')
    .description('Data for training and scoring.')
    .helpCommand(false);
  const columns = [
    { title: 'name', value: (row: Dataset) => row.name },
    { title: 'rows', align: 'right' as const, value: (row: Dataset) => row.rows },
    { title: 'id', value: (row: Dataset) => row.id },
  ];

  withConnection(dataset.command('import'))
    .summary('import a JSONL file')
    .description('Uploads a JSONL file, one {"prompt": "...", "completion": "..."} a line.')
    .argument('<file>', 'JSONL file')
    .option('--name <name>', 'name of the data (the name of the file)')
    .option('--json', 'print the record as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora dataset import ./test.jsonl --name intents-test')
    .action(async (file: string, options: Options) => {
      const imported = await importDataset(context, await connect(context, options), file, options.name);
      printData(context, options.json, imported, (row) => renderTable(context, columns, [row], ''));
    });

  withConnection(dataset.command('list'))
    .summary('list the data')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora dataset list')
    .action(async (options: Options) => {
      const datasets = await (await connect(context, options)).call('listDatasets');
      printData(context, options.json, datasets, (rows) =>
        renderTable(context, columns, rows, 'no data yet: fleetlora dataset import FILE'),
      );
    });
}
