import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunningCoordinator, startCoordinator } from '@fleetlora/coordinator';
import { CodedError } from '@fleetlora/shared/errors';
import type { Code, Device } from '@fleetlora/shared/protocol';
import { openGates } from './open-gates.js';
import { checkout } from './reference.js';

/** A coordinator in this process and agents in others, on free ports over temporary folders. */
export interface LocalFleet {
  /** Of the first agent. */
  readonly deviceClass: string;
  /** Calls a route as the admin. @throws what the coordinator answers when it refuses */
  call<T>(route: string, body?: unknown): Promise<T>;
  /** Runs a `fleetlora` command in a process of its own, so that its work is not this process's. */
  command(args: readonly string[]): Promise<void>;
  /**
   * Enrols and starts one more agent and waits until it is online.
   * @param node the Node.js that runs it
   */
  addAgent(name: string, node?: string): Promise<Device>;
  stop(): Promise<void>;
}

const fleetloraCommand = join(checkout, 'coordinator', 'dist', 'cli', 'main.js');
const agentCommand = join(checkout, 'agent', 'dist', 'cli', 'main.js');

/**
 * Runs `node ...args` to its end and returns its stdout.
 * @throws CHILD_FAILED with what it wrote to stderr
 */
export async function runNode(
  args: readonly string[],
  env: Record<string, string> = {},
  node = process.execPath,
): Promise<string> {
  const child = spawn(node, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  await once(child, 'close');
  if (child.exitCode !== 0) throw new CodedError('CHILD_FAILED', `${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
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

/** @param node the Node.js that runs the first agent */
export async function startLocalFleet(workFolder: string, node = process.execPath): Promise<LocalFleet> {
  const coordinator = await startCoordinator({
    dataFolder: join(workFolder, 'coordinator'),
    host: '127.0.0.1',
    webPort: 0,
    mqttPort: 0,
    logLevel: 'error',
    qualify: 'onRequest',
  });
  const api = createCaller(coordinator);
  const agents: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(agents.map(endAgent));
    await coordinator.stop();
  };
  const addAgent: LocalFleet['addAgent'] = async (name, node = process.execPath) => {
    const data = ['--data', join(workFolder, name)];
    const { code, enrollUrl } = await api.call<Code>('POST /v1/codes', {});
    await runNode([agentCommand, 'enroll', enrollUrl, code, '--name', name, ...data], {}, node);
    const options = [...data, '--serve-port', '0', '--log', 'error'];
    const agent = spawn(node, [agentCommand, 'run', ...options], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...openGates, ...process.env },
    });
    agents.push(agent);
    return until(
      async () => {
        if (hasEnded(agent)) throw new CodedError('CHILD_FAILED', `agent ${name} ended before it was online`);
        const devices = await api.call<Device[]>('GET /v1/devices');
        return devices.find((device) => device.name === name) as Device;
      },
      ({ online }) => online,
    );
  };
  try {
    const { deviceClass } = await addAgent('agent', node);
    return { ...api, deviceClass, addAgent, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

async function endAgent(agent: ChildProcess): Promise<void> {
  if (hasEnded(agent)) return;
  const ended = once(agent, 'exit');
  agent.kill('SIGTERM');
  await ended;
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
    async command(args) {
      await runNode([fleetloraCommand, ...args], env);
    },
  };
}
