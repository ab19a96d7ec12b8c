import { CodedError } from '@fleetlora/shared/errors';
import type { Command } from 'commander';
import { pino } from 'pino';
import { startAgent } from '../../agent.js';
import {
  dataFolderOf,
  defaultServePort,
  gateWaitsOf,
  type LogLevel,
  logLevels,
  parsePort,
  parseSize,
} from '../../config.js';
import type { CommandContext } from '../command-context.js';
import { addGateOptions, type GateOptions } from '../gate-options.js';
import { parseCount } from '../parse-count.js';

interface RunOptions extends GateOptions {
  readonly data?: string;
  readonly servePort: string;
  readonly threads: string;
  readonly contentLimit?: string;
  readonly log: string;
  readonly json?: boolean;
}

export function addRun(program: Command, { printer, env, signal }: CommandContext): void {
  const command = program
    .command('run')
    .summary('run the agent until it is stopped')
    .description(
      'Keeps the line to the coordinator, measures the candidates it sends (one at a time, each in its own\n' +
        'process), installs signed releases, and serves POST /v1/completions to programs on this machine.',
    )
    .option('--data <folder>', 'data folder')
    .option(
      '--serve-port <port>',
      'port on 127.0.0.1 to serve at; 0 takes any free one',
      String(defaultServePort),
    )
    .option('--threads <n>', 'threads of the served model', '1')
    .option(
      '--content-limit <size>',
      'most bytes of downloads to keep, such as 2GB; what is in use stays even above it',
    );
  addGateOptions(command)
    .option('--log <level>', `how much to log to stderr: ${logLevels.join(', ')}`, 'info')
    .option('--json', 'print where it serves as JSON, once it does')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent run
  fleetlora-agent run --data /var/lib/fleetlora-agent --serve-port 0 --log warn

Stop it with Ctrl-C or SIGTERM. It may be killed at any moment: results wait on disk until the coordinator has
acknowledged them, downloads are taken up where they broke off, and the release that ran keeps running.`,
    )
    .action(async (options: RunOptions) => {
      const logLevel = logLevels.find((level) => level === options.log);
      if (!logLevel)
        throw new CodedError('BAD_USAGE', `--log ${options.log} is unknown, wanted ${logLevels.join(', ')}`);
      const config = {
        dataFolder: dataFolderOf(options.data, env),
        servePort: parsePort(options.servePort),
        serveThreads: parseCount(options.threads, '--threads', 256),
        contentLimitBytes:
          options.contentLimit === undefined ? null : parseSize(options.contentLimit, '--content-limit'),
        ...gateWaitsOf(options, env),
        logLevel,
      };
      const agent = await startAgent(config, createLog(logLevel));
      try {
        const { deviceId, serveUrl } = agent;
        printer.data(
          options.json,
          { deviceId, serveUrl, pid: process.pid },
          () => `${deviceId} serves at ${printer.bold(serveUrl)}; stop with Ctrl-C`,
        );
        await untilAborted(signal);
      } finally {
        await agent.stop();
      }
    });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Lines of JSON on stderr; stdout is for data. */
function createLog(level: LogLevel) {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  );
}
