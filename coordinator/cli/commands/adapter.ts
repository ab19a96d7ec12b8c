import { basename, resolve } from 'node:path';
import type { Adapter } from '@fleetlora/shared/protocol';
import type { Precision } from '@fleetlora/shared/space';
import { formatBytes } from '@fleetlora/shared/units';
import { type Command, Option } from 'commander';
import { readSpace, toName } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderFields, renderTable } from '../table.js';
import { adapterFiles, uploadFolder } from '../upload-file.js';
import { addAdapterExport } from './adapter-export.js';
import { addAdapterMerge } from './adapter-merge.js';
import { addAdapterTune } from './adapter-tune.js';

interface Options extends ConnectionOptions {
  readonly base: string;
  readonly name?: string;
  readonly space?: string;
  readonly masked?: Precision;
  readonly json?: boolean;
}

/** `fleetlora adapter import|list|export|tune|merge`. */
export function addAdapter(program: Command, context: CliContext): void {
  const adapter = program
    .command('adapter')
    .summary('super-adapters: import, list, export, tune, merge')
    .description('Super-adapters.')
    .helpCommand(false);

  withConnection(adapter.command('import'))
    .summary('import a PEFT LoRA as super-adapter')
    .description(
      "Uploads DIR/adapter_config.json and DIR/adapter_model.safetensors (PEFT, the base's original\n" +
        'channel order). Sub-networks of it are meaningful when it was trained elastically, as\n' +
        '`fleetlora train` does; an ordinary LoRA can be imported, but slices badly.',
    )
    .argument('<dir>', 'PEFT adapter folder')
    .requiredOption('--base <base>', 'name or id of the base it was trained on')
    .option('--name <name>', 'name of the adapter (the name of the folder)')
    .option('--space <space>', 'search space it was trained for: preset or JSON file')
    .addOption(
      new Option(
        '--masked <precision>',
        'trained to count only where that file of the base is not 0',
      ).choices(['fp32', 'q8', 'q4']),
    )
    .option('--json', 'print the adapter as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora adapter import ./super-adapter --base tiny-llama-7m
  fleetlora adapter import ./super-adapter --base tiny-llama-7m --space tied --name intents`,
    )
    .action(async (dir: string, options: Options) => {
      const space = options.space === undefined ? undefined : await readSpace(options.space);
      const api = await connect(context, options);
      const files = await uploadFolder(context, api, dir, adapterFiles);
      const body = {
        name: options.name ?? toName(basename(resolve(dir))),
        base: options.base,
        files,
        space,
        ...(options.masked && { masked: options.masked }),
      };
      const imported = await api.call('importAdapter', { body });
      printData(context, options.json, imported, (value) => renderAdapter(context, value));
    });

  withConnection(adapter.command('list'))
    .summary('list the super-adapters')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora adapter list')
    .action(async (options: Options) => {
      const adapters = await (await connect(context, options)).call('listAdapters');
      printData(context, options.json, adapters, (rows) =>
        renderTable(
          context,
          [
            { title: 'name', value: (row) => row.name },
            { title: 'rank', align: 'right', value: (row) => row.rankMax },
            { title: 'alpha', align: 'right', value: (row) => row.alpha },
            { title: 'space', value: (row) => row.space.name },
            { title: 'file', align: 'right', value: (row) => formatBytes(row.bytes) },
            { title: 'base', value: (row) => row.baseId },
            { title: 'id', value: (row) => row.id },
          ],
          rows,
          'no super-adapter yet: fleetlora train, or fleetlora adapter import DIR',
        ),
      );
    });

  addAdapterExport(adapter, context);
  addAdapterTune(adapter, context);
  addAdapterMerge(adapter, context);
}

function renderAdapter(context: CliContext, adapter: Adapter): string {
  return renderFields(context, [
    ['super-adapter', `${adapter.name}  ${adapter.id}`],
    ['rank, alpha', `${adapter.rankMax}, ${adapter.alpha}`],
    ['space', adapter.space.name],
    ['weight file', `${formatBytes(adapter.bytes)}, sha256 ${adapter.digest}`],
  ]);
}
