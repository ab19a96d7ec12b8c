import type { Command } from 'commander';
import { integer } from '../arguments.js';
import { dataFolderOf } from '../connection.js';
import { type CliContext, print, printJson, say } from '../context.js';

interface UpOptions {
  readonly dataFolder?: string;
  readonly host: string;
  readonly port: number;
  readonly mqttPort: number;
  readonly log: 'silent' | 'error' | 'warn' | 'info' | 'debug';
  readonly qualify?: string;
  readonly json?: boolean;
}

/** `fleetlora up`: the coordinator in this process, until Ctrl-C. */
export function addUp(program: Command, context: CliContext): void {
  program
    .command('up')
    .summary('run the coordinator')
    .description(
      'Runs the coordinator until Ctrl-C: API and documentation on the web port, MQTT for devices on\n' +
        'its own port and as WebSocket at /mqtt of the web port. The first start makes an admin token,\n' +
        'prints it once and keeps it in DIR/admin-token (readable by you alone), where the other\n' +
        'commands on this machine find it. Loopback addresses only. What it remembers is in a SQLite file of\n' +
        'the folder, or in the PostgreSQL database of DATABASE_URL (or FLEETLORA_DATABASE_URL).',
    )
    .option(
      '--data, --data-folder <dir>',
      'folder of everything it keeps (FLEETLORA_DATA, else ~/.fleetlora/coordinator)',
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', 'web port, 0 = any free one', integer(0, 65535), 7410)
    .option('--mqtt-port <port>', 'MQTT port, 0 = any free one', integer(0, 65535), 7411)
    .option(
      '--qualify <when>',
      'ask devices whether they are steady at their birth, when that is not known of their present agent,\n' +
        'runtime and processor, or on request alone: birth or request (FLEETLORA_QUALIFY, else birth)',
    )
    .option('--log <level>', 'silent, error, warn, info or debug', 'info')
    .option('--json', 'print where it listens as one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora up
  fleetlora up --data ./lab --port 0 --mqtt-port 0 --log warn
  DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE fleetlora up`,
    )
    .action(async (options: UpOptions) => {
      // Loaded here: no other command needs the service and its native libraries.
      const { databaseUrlOf, qualifyTimeOf, startCoordinator } = await import('../../app.js');
      const dataFolder = dataFolderOf(options, context.env);
      const config = {
        dataFolder,
        host: options.host,
        webPort: options.port,
        mqttPort: options.mqttPort,
        logLevel: options.log,
        databaseUrl: databaseUrlOf(context.env),
        qualify: qualifyTimeOf(options.qualify, context.env),
      };
      const running = await startCoordinator(config, {}, context.signal);
      try {
        if (options.json) printJson(context, { url: running.url, mqttUrl: running.mqttUrl, dataFolder });
        else {
          print(context, `coordinator  ${running.url}   (API documentation at ${running.url}/docs)`);
          print(context, `mqtt         ${running.mqttUrl}`);
          print(context, `data         ${dataFolder}`);
          if (running.adminToken !== null)
            print(context, `admin token  ${running.adminToken}   (shown once)`);
        }
        const failure = await Promise.race([aborted(context.signal), running.failed]);
        if (failure instanceof Error) throw failure;
        say(context, 'stopping');
      } finally {
        await running.stop();
      }
    });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
