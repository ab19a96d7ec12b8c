import type { Command } from 'commander';
import { duration } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';

interface Options extends ConnectionOptions {
  readonly ttl?: number;
  readonly class?: string;
  readonly json?: boolean;
}

/** `fleetlora code create`. */
export function addCode(program: Command, context: CliContext): void {
  const code = program
    .command('code')
    .summary('enrolment codes: create')
    .description('Enrolment codes.')
    .helpCommand(false);

  withConnection(code.command('create'))
    .summary('make a code that admits one device')
    .description('Makes a code that admits one device, once, until it expires.')
    .option('--ttl <time>', 'how long it is good, for example 30m, 12h, 7d', duration)
    .option('--class <name>', 'device class of the device that uses it')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora code create
  fleetlora code create --class raspberry-pi-5 --ttl 7d`,
    )
    .action(async (options: Options) => {
      const api = await connect(context, options);
      const body = { ttlSeconds: options.ttl, deviceClass: options.class };
      const created = await api.call('createCode', { body });
      printData(context, options.json, created, (value) =>
        [
          `code     ${context.colors.bold(value.code)}`,
          `expires  ${new Date(value.expiresAtMs).toISOString()}`,
          '',
          'On the device:',
          `  fleetlora-agent enroll ${value.enrollUrl} ${value.code}`,
          '  fleetlora-agent run',
        ].join('\n'),
      );
    });
}
