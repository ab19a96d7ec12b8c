import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunningCoordinator, startCoordinator } from '@fleetlora/coordinator';
import { CodedError } from '@fleetlora/shared/errors';
import type { Code, Device } from '@fleetlora/shared/protocol';
import { checkout } from './reference.js';

/** A coordinator in this process and an agent in another, on free ports over temporary folders. */
export interface LocalFleet {
  readonly deviceClass: string;
  /** Calls a route as the admin. @throws what the coordinator answers when it refuses */
  call<T>(route: string, body?: unknown): Promise<T>;
  /** Runs a `fleetlora` command in a process of its own, so that its work is not this process's. */
  command(args: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

const fleetloraCommand = join(checkout, 'coordinator', 'dist', 'cli', 'main.js');
const agentCommand = join(checkout, 'agent', 'dist', 'cli', 'main.js');

/** Runs `node ...args` to its end. @throws CHILD_FAILED with what it wrote to stderr */
export async function runNode(args: readonly string[], env: Record<string, string> = {}): Promise<void> {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  await once(child, 'close');
  if (child.exitCode !== 0) throw new CodedError('CHILD_FAILED', `${args.join(' ')}: ${stderr.trim()}`);
}

/** Asks until `isDone`. */
export async function until<T>(
  ask: () => Promise<T>,
  isDone: (answer: T) => boolean,
  everyMs = 500,
): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    await sleep(everyMs);
  }
}

export async function startLocalFleet(workFolder: string): Promise<LocalFleet> {
  const coordinator = await startCoordinator({
    dataFolder: join(workFolder, 'coordinator'),
    host: '127.0.0.1',
    webPort: 0,
    mqttPort: 0,
    logLevel: 'error',
  });
  const api = createCaller(coordinator);
  const data = ['--data', join(workFolder, 'agent')];
  let agent: ChildProcess | undefined;
  try {
    const { code, enrollUrl } = await api.call<Code>('POST /v1/codes', {});
    await runNode([agentCommand, 'enroll', enrollUrl, code, ...data]);
    agent = spawn(process.execPath, [agentCommand, 'run', ...data, '--serve-port', '0', '--log', 'error'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [device] = await until(
      () => api.call<Device[]>('GET /v1/devices'),
      ([first]) => first?.online === true,
    );
    return { ...api, deviceClass: device?.deviceClass ?? '', stop: () => stopAll(coordinator, agent) };
  } catch (error) {
    await stopAll(coordinator, agent);
    throw error;
  }
}

async function stopAll(coordinator: RunningCoordinator, agent: ChildProcess | undefined): Promise<void> {
  if (agent && agent.exitCode === null && agent.signalCode === null) {
    agent.kill('SIGTERM');
    await once(agent, 'exit');
  }
  await coordinator.stop();
}

function createCaller({ url, adminToken }: RunningCoordinator): Pick<LocalFleet, 'call' | 'command'> {
  const env = { FLEETLORA_URL: url, FLEETLORA_TOKEN: adminToken ?? '' };
  return {
    async call<T>(route: string, body?: unknown): Promise<T> {
      const [method, path] = route.split(' ') as [string, string];
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${adminToken}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      if (!response.ok) throw new Error(`${route}: ${await response.text()}`);
      return (await response.json()) as T;
    },
    command: async (args) => runNode([fleetloraCommand, ...args], env),
  };
}
