import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { dataFolderOf } from '../connection.js';
import { type CliContext, print, printJson } from '../context.js';

interface Options {
  readonly dataFolder?: string;
  readonly json?: boolean;
}

/** `fleetlora restore`: local, needs no coordinator. */
export function addRestore(program: Command, context: CliContext): void {
  program
    .command('restore')
    .summary('make a data folder from a backup')
    .description(
      'Unpacks a backup beside the folder, checks every file and row, and only then gives the folder its\n' +
        'name: a backup that is cut short or damaged leaves nothing. With DATABASE_URL the rows go into\n' +
        'that PostgreSQL database, which must be empty. `fleetlora up` then goes on with its searches.',
    )
    .argument('<file>', 'file that `fleetlora backup` wrote')
    .option(
      '--data, --data-folder <dir>',
      'folder to make; must be empty or not there (FLEETLORA_DATA, else ~/.fleetlora/coordinator)',
    )
    .option('--json', 'print what was restored as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora restore ./fleetlora-monday.tar --data ./lab
  DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE fleetlora restore ./fleetlora-monday.tar`,
    )
    .action(async (file: string, options: Options) => {
      // Loaded here: no other command needs the service and its native libraries.
      const { databaseUrlOf, restoreBackup } = await import('../../app.js');
      const folder = dataFolderOf(options, context.env);
      const { manifest, rows, bytes, database } = await restoreBackup(
        file,
        folder,
        databaseUrlOf(context.env),
      );
      const takenAt = new Date(manifest.createdAtMs).toISOString();
      if (options.json) {
        printJson(context, {
          dataFolder: folder,
          takenAt,
          rows,
          bytes,
          files: manifest.files.length,
          database,
        });
        return;
      }
      print(context, `data      ${folder}, as it was at ${takenAt}`);
      print(context, `rows      ${rows} in ${manifest.tables.length} tables, in ${database}`);
      print(context, `files     ${manifest.files.length}, ${formatBytes(bytes)}, every digest checked`);
    });
}
