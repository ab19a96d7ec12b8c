import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { openGates } from '@fleetlora/bench/lib/open-gates';
import { checkout } from './reference.js';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const binaries = {
  fleetlora: join(checkout, 'coordinator', 'dist', 'cli', 'main.js'),
  'fleetlora-agent': join(checkout, 'agent', 'dist', 'cli', 'main.js'),
} as const;
export type BinaryName = keyof typeof binaries;

/** Starts a published command without what the caller's environment says about coordinators. */
export function spawnCli(
  name: BinaryName,
  args: readonly string[],
  env: Record<string, string> = {},
): ChildProcess {
  const {
    FLEETLORA_URL,
    FLEETLORA_TOKEN,
    FLEETLORA_DATA,
    FLEETLORA_DATABASE_URL,
    DATABASE_URL,
    FORCE_COLOR,
    NO_COLOR,
    ...inherited
  } = process.env;
  return spawn(process.execPath, [binaries[name], ...args], {
    env: { ...openGates, FLEETLORA_QUALIFY: 'request', ...inherited, HOME: '/nonexistent', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs a published command to its end. */
export async function runCli(
  name: BinaryName,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<CliResult> {
  const child = spawnCli(name, args, env);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr?.on('data', (chunk) => {
    stderr += String(chunk);
  });
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

/** Resolves with the first output of a running command that matches; rejects when it ends before. */
export function waitForOutput(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = '';
    const look = (chunk: unknown): void => {
      text += String(chunk);
      const match = pattern.exec(text);
      if (match) resolve(match);
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('close', () => reject(new Error(`ended without ${pattern}: ${text}`)));
  });
}
