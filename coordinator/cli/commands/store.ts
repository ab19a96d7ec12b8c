import { CodedError } from '@fleetlora/shared/errors';
import type { Command } from 'commander';
import { dataFolderOf } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderTable } from '../table.js';

interface Options {
  readonly dataFolder?: string;
  readonly json?: boolean;
}

/** `fleetlora store move`: local, needs no coordinator. */
export function addStore(program: Command, context: CliContext): void {
  const store = program
    .command('store')
    .summary('where the coordinator keeps its rows')
    .description('The rows of a coordinator: in a SQLite file of its data folder, or in PostgreSQL.')
    .helpCommand(false);
  store
    .command('move')
    .summary('carry the rows from SQLite to PostgreSQL')
    .description(
      'Writes all rows of a data folder into the empty PostgreSQL database of DATABASE_URL (or\n' +
        'FLEETLORA_DATABASE_URL), in one transaction, and compares count and digest of every table on\n' +
        'both sides. The SQLite file stays as coordinator.db.moved. The coordinator must not run.',
    )
    .option('--data, --data-folder <dir>', 'the data folder (FLEETLORA_DATA, else ~/.fleetlora/coordinator)')
    .option('--json', 'print counts and digests as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora store move --data ./lab       with DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE exported`,
    )
    .action(async (options: Options) => {
      // Loaded here: no other command needs the service and its native libraries.
      const { databaseUrlOf, moveStore } = await import('../../app.js');
      const databaseUrl = databaseUrlOf(context.env);
      if (databaseUrl === null)
        throw new CodedError(
          'BAD_USAGE',
          'DATABASE_URL is not set, wanted postgres://USER:PASSWORD@HOST:PORT/DATABASE',
        );
      const moved = await moveStore(dataFolderOf(options, context.env), databaseUrl);
      printData(context, options.json, moved, ({ tables, from, to, kept }) =>
        [
          renderTable(
            context,
            [
              { title: 'table', value: ({ table }) => table },
              { title: 'rows', align: 'right', value: ({ rows }) => rows },
              { title: 'digest, equal on both sides', value: ({ digest }) => digest.slice(0, 16) },
            ],
            tables,
            '',
          ),
          `\nmoved from ${from} to ${to}`,
          `the file is kept as ${kept}; from now on start with DATABASE_URL set`,
        ].join('\n'),
      );
    });
}
