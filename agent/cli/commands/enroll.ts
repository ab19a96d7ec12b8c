import { CodedError } from '@fleetlora/shared/errors';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { Command } from 'commander';
import { agentVersion, dataFolderOf } from '../../config.js';
import { lockFolder, openDataFolder } from '../../folder/index.js';
import { enrollDevice, readDeviceFacts } from '../../identity/index.js';
import type { CommandContext } from '../command-context.js';
import { pairs } from '../printer.js';

const DEVICE_NAME = /^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$/;

export function addEnroll(program: Command, { printer, env }: CommandContext): void {
  program
    .command('enroll')
    .summary('make this device known to a coordinator')
    .description(
      "Makes the device's own P-256 key in the data folder, proves to the coordinator that it holds it, and pins\n" +
        'the key that releases must be signed with. The private key never leaves the folder.',
    )
    .argument('<url>', "the coordinator's web address, for example http://127.0.0.1:7410")
    .argument('<code>', 'the code printed by `fleetlora code create`; it serves once')
    .option('--name <name>', "the device's name in tables (default: the host name)")
    .option('--data <folder>', 'data folder')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent enroll http://127.0.0.1:7410 K7QM-2F9D
  fleetlora-agent enroll http://127.0.0.1:7410 K7QM-2F9D --name kitchen-pi --data /var/lib/fleetlora-agent

A folder belongs to one coordinator. Enrolling again after a lost answer, with the same code, is safe.`,
    )
    .action(async (url: string, code: string, options: { name?: string; data?: string; json?: boolean }) => {
      if (options.name !== undefined && !DEVICE_NAME.test(options.name))
        throw new CodedError(
          'BAD_USAGE',
          `"${options.name.slice(0, 80)}" is no device name, wanted 1 to 64 letters, digits, dots, dashes or spaces`,
        );
      const folder = await openDataFolder(dataFolderOf(options.data, env));
      const lock = await lockFolder(folder.lock);
      try {
        const facts = await readDeviceFacts(agentVersion, createNodeRuntime());
        const {
          deviceId,
          deviceClass,
          url: home,
        } = await enrollDevice(folder, {
          url,
          code,
          name: options.name,
          facts,
        });
        printer.data(options.json, { deviceId, deviceClass, url: home, dataFolder: folder.root }, (made) =>
          pairs([
            ['device', printer.bold(made.deviceId)],
            ['class', made.deviceClass],
            ['coordinator', made.url],
            ['data folder', made.dataFolder],
          ]),
        );
      } finally {
        await lock.release();
      }
    });
}
