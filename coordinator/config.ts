import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import type { QualifyTime } from './fleet/index.js';

// This file is loaded before the Node version is checked: it may import nothing that needs a new Node.

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface CoordinatorConfig {
  /** Folder of everything the coordinator keeps; made with mode 0700 when missing. */
  readonly dataFolder: string;
  /** Address both listeners bind. Loopback only. */
  readonly host: string;
  /** Port of the API, the documentation and MQTT over WebSocket (/mqtt); 0 = any free one. */
  readonly webPort: number;
  /** Port of MQTT over TCP; 0 = any free one. */
  readonly mqttPort: number;
  readonly logLevel: LogLevel;
  /** postgres:// URL of the database that holds the rows; null or absent = a SQLite file in the data folder. */
  readonly databaseUrl?: string | null;
  /** When devices are asked whether they are steady; absent: at birth. */
  readonly qualify?: QualifyTime;
}

export const defaultConfig: CoordinatorConfig = {
  dataFolder: join(homedir(), '.fleetlora', 'coordinator'),
  host: '127.0.0.1',
  webPort: 7410,
  mqttPort: 7411,
  logLevel: 'info',
};

/**
 * The database that the environment names. There is no option for it: a command line can be read
 * by every user of a machine, and the URL holds a password.
 */
export function databaseUrlOf(env: Readonly<Record<string, string | undefined>>): string | null {
  return env.FLEETLORA_DATABASE_URL || env.DATABASE_URL || null;
}

const qualifyTimes: Readonly<Record<string, QualifyTime>> = { birth: 'atBirth', request: 'onRequest' };

/**
 * When devices are asked whether they are steady, as `--qualify` says, or FLEETLORA_QUALIFY.
 * @throws BAD_USAGE naming the text
 */
export function qualifyTimeOf(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): QualifyTime {
  const [text, name] =
    option === undefined ? [env.FLEETLORA_QUALIFY || 'birth', 'FLEETLORA_QUALIFY'] : [option, '--qualify'];
  const time = Object.hasOwn(qualifyTimes, text) ? qualifyTimes[text] : undefined;
  if (time !== undefined) return time;
  throw new CodedError('BAD_USAGE', `${name} ${text} is not one of ${Object.keys(qualifyTimes).join(', ')}`);
}

/** Oldest Node that runs the coordinator, as in package.json's `engines`. */
export const oldestNode = '20.19.0';

/** @throws NODE_TOO_OLD naming both versions, when `version` ("v18.20.4") is older than `oldestNode` */
export function requireNode(version: string): void {
  const found = version.replace(/^v/, '').split('.').map(Number);
  const wanted = oldestNode.split('.').map(Number);
  for (const [i, want] of wanted.entries()) {
    const have = found[i] ?? 0;
    if (have > want) return;
    if (have < want)
      throw new CodedError(
        'NODE_TOO_OLD',
        `Node ${version.replace(/^v/, '')} is too old, fleetlora needs ${oldestNode} or newer`,
      );
  }
}

/** @throws NOT_LOOPBACK when the address can be reached from another machine */
export function requireLoopback(host: string): void {
  if (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)) return;
  throw new CodedError(
    'NOT_LOOPBACK',
    `cannot listen on ${host}: this release serves 127.0.0.1, ::1 or localhost only; ` +
      'listening for other machines comes with TLS in a later release',
  );
}

/**
 * The configuration a command line asks for.
 * @param argv arguments without the interpreter and the script
 * @throws BAD_USAGE naming the argument
 */
export function parseArguments(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): CoordinatorConfig & { readonly readyJson: boolean } {
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        data: { type: 'string' },
        host: { type: 'string' },
        port: { type: 'string' },
        'mqtt-port': { type: 'string' },
        log: { type: 'string' },
        qualify: { type: 'string' },
        'ready-json': { type: 'boolean' },
      },
    }));
  } catch (cause) {
    throw new CodedError('BAD_USAGE', messageOf(cause), { cause });
  }
  const text = (name: string): string | undefined => values[name] as string | undefined;
  const logLevel = text('log') ?? defaultConfig.logLevel;
  if (!(logLevels as readonly string[]).includes(logLevel))
    throw new CodedError('BAD_USAGE', `--log ${logLevel} is not one of ${logLevels.join(', ')}`);
  return {
    dataFolder: resolve(text('data') ?? defaultConfig.dataFolder),
    host: text('host') ?? defaultConfig.host,
    webPort: parsePort('--port', text('port'), defaultConfig.webPort),
    mqttPort: parsePort('--mqtt-port', text('mqtt-port'), defaultConfig.mqttPort),
    logLevel: logLevel as LogLevel,
    qualify: qualifyTimeOf(text('qualify'), env),
    readyJson: values['ready-json'] === true,
  };
}

function parsePort(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65535)) throw new CodedError('BAD_USAGE', `${option} ${text} is not a port from 0 to 65535`);
  return port;
}
