import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';

/** Everything that can be told to a running agent. */
export interface AgentConfig {
  /** Key, identity, downloaded files, outbox and installed release; mode 0700. */
  readonly dataFolder: string;
  /** Loopback port of the completion door; 0 takes any free one. */
  readonly servePort: number;
  /** Threads of the served model. */
  readonly serveThreads: number;
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

/** Version of this package. */
export const agentVersion: string = readVersion();

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
