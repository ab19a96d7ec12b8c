import { access, open, rename, rm } from 'node:fs/promises';
import { CodedError } from '@fleetlora/shared/errors';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import type { ApiClient } from '../api-client.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';

interface Options extends ConnectionOptions {
  readonly json?: boolean;
}

/** `fleetlora backup`. */
export function addBackup(program: Command, context: CliContext): void {
  withConnection(program.command('backup'))
    .summary('write everything the coordinator remembers into one file')
    .description(
      'Writes rows, keys, checkpoints and stored files into a tar archive, while searches and trainings\n' +
        'go on: the rows are those of one moment. FILE gets its name when it is whole, and is readable by\n' +
        'you alone, since it holds the keys and the admin token. `fleetlora restore` is the way back.',
    )
    .argument('<file>', 'file to write; must not exist')
    .option('--json', 'print path and size as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora backup ./fleetlora-monday.tar')
    .action(async (file: string, options: Options) => {
      const bytes = await saveBackup(await connect(context, options), file);
      printData(context, options.json, { file, bytes }, () => `${file}: ${formatBytes(bytes)}`);
    });
}

/** @throws ALREADY_EXISTS, DISK_FULL, or what the coordinator answers; then no file is left */
async function saveBackup(api: ApiClient, file: string): Promise<number> {
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  if (isThere) throw new CodedError('ALREADY_EXISTS', `${file} exists already, choose another name`);
  const part = `${file}.part`;
  let bytes = 0;
  try {
    // Of a backup that was killed; the mode is only set on a new file.
    await rm(part, { force: true });
    const handle = await open(part, 'wx', 0o600);
    try {
      for await (const chunk of api.backup()) {
        await handle.writeFile(chunk);
        bytes += chunk.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw new CodedError('DISK_FULL', `no space is left for ${part} after ${bytes} bytes`, {
        cause: error,
      });
    throw error;
  }
  return bytes;
}
