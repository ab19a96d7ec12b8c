import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import type { Code, Device } from '@fleetlora/shared/protocol';
import { type AgentEvents, createAgentEvents } from './agent-events.js';
import { runNode } from './local-fleet.js';
import { openGates } from './open-gates.js';
import { killAndWait } from './process-tree.js';
import { checkout } from './reference.js';

export type Member = 'coordinator' | 'agent';

/** A coordinator and an agent, each a process of its own that can be killed and started again. */
export interface KillableFleet {
  readonly deviceClass: string;
  readonly coordinatorFolder: string;
  readonly events: AgentEvents;
  pidOf(member: Member): number;
  /** Sends SIGKILL and waits for the end. */
  kill(member: Member): Promise<void>;
  /** Starts it over its data folder, the coordinator on its former ports. */
  start(member: Member): Promise<void>;
  /** Calls a route as the admin. @throws what the coordinator answers, or that it does not */
  call<T>(route: string, body?: unknown): Promise<T>;
  /** Runs a `fleetlora` command to its end. */
  command(args: readonly string[]): Promise<void>;
  /** Last lines of both logs, for people. */
  recentLog(): string;
  stop(): Promise<void>;
}

const coordinatorMain = join(checkout, 'coordinator', 'dist', 'main.js');
const fleetloraCommand = join(checkout, 'coordinator', 'dist', 'cli', 'main.js');
const agentCommand = join(checkout, 'agent', 'dist', 'cli', 'main.js');
/** Log lines that are kept of each process. */
const RECENT_LINES = 20;

/**
 * Starts both over `workFolder` and waits until the device is online.
 * @param databaseUrl a PostgreSQL database for the coordinator; null for its SQLite file
 */
export async function startKillableFleet(
  workFolder: string,
  databaseUrl: string | null,
): Promise<KillableFleet> {
  const coordinatorFolder = join(workFolder, 'coordinator');
  const agentData = ['--data', join(workFolder, 'agent')];
  const { DATABASE_URL, FLEETLORA_DATABASE_URL, ...inherited } = process.env;
  const env = {
    ...openGates,
    FLEETLORA_QUALIFY: 'request',
    ...inherited,
    ...(databaseUrl !== null && { DATABASE_URL: databaseUrl }),
  };
  const events = createAgentEvents();
  const logFile = createWriteStream(join(workFolder, 'processes.log'));
  const recent: Record<Member, string[]> = { coordinator: [], agent: [] };
  const running = new Map<Member, ChildProcess>();
  let ports = ['0', '0'];
  let url = '';
  let token = '';

  /** Spawns, follows the log on stderr, and resolves with what it says on stdout, as JSON. */
  async function launch(member: Member, args: readonly string[]): Promise<unknown> {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    running.set(member, child);
    createInterface(child.stderr).on('line', (line) => {
      recent[member] = [...recent[member], line].slice(-RECENT_LINES);
      logFile.write(`${member} ${line}\n`);
      if (member === 'agent') events.read(line);
    });
    return new Promise((resolve, reject) => {
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += String(chunk);
        if (said.endsWith('}\n')) resolve(JSON.parse(said));
      });
      child.once('close', () =>
        reject(new CodedError('CHILD_FAILED', `the ${member} ended: ${recent[member].at(-1)}`)),
      );
    });
  }

  const starts: Record<Member, () => Promise<void>> = {
    async coordinator() {
      const [port, mqttPort] = ports as [string, string];
      const options = ['--port', port, '--mqtt-port', mqttPort, '--ready-json', '--log', 'info'];
      const ready = (await launch('coordinator', [
        coordinatorMain,
        '--data',
        coordinatorFolder,
        ...options,
      ])) as { url: string; mqttUrl: string; adminToken: string | null };
      ports = [new URL(ready.url).port, new URL(ready.mqttUrl).port];
      url = ready.url;
      token = ready.adminToken ?? token;
    },
    async agent() {
      const options = ['--serve-port', '0', '--json', '--log', 'debug'];
      await launch('agent', [agentCommand, 'run', ...agentData, ...options]);
    },
  };

  const call: KillableFleet['call'] = async <T>(route: string, body?: unknown) => {
    const [method, path] = route.split(' ') as [string, string];
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${route}: ${await response.text()}`);
    return (await response.json()) as T;
  };

  async function stop(): Promise<void> {
    for (const member of ['agent', 'coordinator'] as const) {
      const child = running.get(member);
      if (!child || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const patience = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(patience);
    }
    logFile.end();
  }

  let deviceClass = '';
  try {
    await starts.coordinator();
    const { code, enrollUrl } = await call<Code>('POST /v1/codes', {});
    await runNode([agentCommand, 'enroll', enrollUrl, code, ...agentData]);
    await starts.agent();
    const device = await within(
      30_000,
      async () => (await call<Device[]>('GET /v1/devices'))[0],
      (found) => found?.online === true,
    );
    if (!device) throw new CodedError('DEVICE_OFFLINE', `the device did not connect\n${recent.agent.at(-1)}`);
    ({ deviceClass } = device);
  } catch (error) {
    await stop();
    throw error;
  }

  const pidOf = (member: Member): number => running.get(member)?.pid ?? -1;
  return {
    deviceClass,
    coordinatorFolder,
    events,
    pidOf,
    async kill(member) {
      const child = running.get(member) as ChildProcess;
      const ended = once(child, 'close');
      await killAndWait(pidOf(member));
      await ended;
    },
    start: (member) => starts[member](),
    call,
    async command(args) {
      await runNode([fleetloraCommand, ...args], { FLEETLORA_URL: url, FLEETLORA_TOKEN: token });
    },
    recentLog: () =>
      Object.entries(recent)
        .flatMap(([member, lines]) => lines.map((line) => `${member} ${line}`))
        .join('\n'),
    stop,
  };
}

/**
 * Asks until `isDone`, for `limitMs`; an answer that does not come counts as not done.
 * @returns null when the time is over
 */
export async function within<T>(
  limitMs: number,
  ask: () => Promise<T>,
  isDone: (answer: T) => boolean,
  everyMs = 50,
): Promise<T | null> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const answer = await ask().catch((error: unknown) => new Refusal(messageOf(error)));
    if (!(answer instanceof Refusal) && isDone(answer)) return answer;
    if (performance.now() > endMs) return null;
    await sleep(everyMs);
  }
}

class Refusal {
  constructor(readonly reason: string) {}
}
