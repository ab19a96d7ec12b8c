import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { defaultCoolWaitSeconds, defaultQuietWaitSeconds, type GateWaits } from './host/index.js';

/** Everything that can be told to a running agent. */
export interface AgentConfig extends GateWaits {
  /** Key, identity, downloaded files, outbox and installed release; mode 0700. */
  readonly dataFolder: string;
  /** Loopback port of the completion door; 0 takes any free one. */
  readonly servePort: number;
  /** Threads of the served model. */
  readonly serveThreads: number;
  /**
   * Most bytes of downloaded files to keep. What is installed, served or measured stays even above
   * it. Null or absent: as many as the disk takes.
   */
  readonly contentLimitBytes?: number | null;
  readonly logLevel: LogLevel;
}

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The coordinator listens on 7410 and 7411; one agent beside it fits without any option. */
export const defaultServePort = 7412;

/** The folder of `--data`, of FLEETLORA_AGENT_DATA, or ~/.fleetlora/agent. */
export function dataFolderOf(option: string | undefined, env: NodeJS.ProcessEnv): string {
  return resolve(option ?? env.FLEETLORA_AGENT_DATA ?? join(homedir(), '.fleetlora', 'agent'));
}

/** A port number from text. @throws BAD_USAGE naming the text */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65535)
    throw new CodedError('BAD_USAGE', `"${text}" is not a port, wanted a number from 0 to 65535`);
  return port;
}

/** Longest wait of a gate that can be asked for: an hour. */
const MAX_WAIT_SECONDS = 3600;

/**
 * Waits before a session of a measurement: of the options, of FLEETLORA_AGENT_COOL_WAIT_SECONDS and
 * FLEETLORA_AGENT_QUIET_WAIT_SECONDS, or the defaults.
 * @throws BAD_USAGE naming the option or variable
 */
export function gateWaitsOf(
  options: { readonly coolWait?: string | undefined; readonly quietWait?: string | undefined },
  env: NodeJS.ProcessEnv,
): Required<GateWaits> {
  const seconds = (option: string | undefined, flag: string, variable: string, preset: number): number => {
    const text = option ?? env[variable];
    if (text === undefined || text === '') return preset;
    const value = Number(text);
    if (/^\d{1,4}$/.test(text) && value <= MAX_WAIT_SECONDS) return value;
    const name = option === undefined ? variable : flag;
    throw new CodedError(
      'BAD_USAGE',
      `${name} ${text} is not possible, wanted whole seconds from 0 to ${MAX_WAIT_SECONDS}`,
    );
  };
  return {
    coolWaitSeconds: seconds(
      options.coolWait,
      '--cool-wait',
      'FLEETLORA_AGENT_COOL_WAIT_SECONDS',
      defaultCoolWaitSeconds,
    ),
    quietWaitSeconds: seconds(
      options.quietWait,
      '--quiet-wait',
      'FLEETLORA_AGENT_QUIET_WAIT_SECONDS',
      defaultQuietWaitSeconds,
    ),
  };
}

/** Bytes of "500MB", "20GB" (decimal units) or a plain number. @throws BAD_USAGE naming the text */
export function parseSize(text: string, option: string): number {
  const match = /^(\d{1,16}(?:\.\d{1,6})?) ?(B|KB|MB|GB|TB)?$/i.exec(text);
  const unit = (match?.[2] ?? 'B').toUpperCase();
  const factor = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[unit] ?? 1;
  const bytes = match ? Math.round(Number(match[1]) * factor) : Number.NaN;
  if (bytes >= 1 && bytes <= 2 ** 50) return bytes;
  throw new CodedError('BAD_USAGE', `${option} ${text} is not a size, wanted one such as 500MB or 20GB`);
}

/** Version of this package. */
export const agentVersion: string = readVersion();

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
