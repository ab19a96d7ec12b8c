import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { openDataFolder } from '@fleetlora/agent/folder';
import { enrollDevice } from '@fleetlora/agent/identity';
import { openGates } from '@fleetlora/bench/lib/open-gates';
import type { Test } from 'tap';
import { type FakeCoordinator, startFakeCoordinator } from './fake-coordinator.js';
import { type LaidModel, layTinyModel } from './laid-models.js';
import { checkout } from './reference.js';
import { tempFolder } from './temp-folder.js';
import { testFacts } from './test-device.js';

const command = join(checkout, 'agent', 'dist', 'cli', 'main.js');
const env = { ...openGates, ...process.env };

/** Runs `fleetlora-agent` to its end. */
export async function runAgentCommand(
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    text.stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    text.stderr += String(chunk);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...text };
}

export interface AgentProcess {
  readonly child: ChildProcess;
  readonly serveUrl: string;
  /** Everything on stderr so far: the log, a JSON value a line. */
  log(): string;
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>;
}

/** Starts `fleetlora-agent run` and waits until it serves. It is killed after the test. */
export async function startAgentProcess(t: Test, data: string): Promise<AgentProcess> {
  const options = ['--data', data, '--serve-port', '0', '--json', '--log', 'debug'];
  const child = spawn(process.execPath, [command, 'run', ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    if (!t.passing()) t.comment(stderr);
    child.kill('SIGKILL');
    await ended;
  });
  for await (const chunk of child.stdout) {
    stdout += String(chunk);
    if (stdout.includes('}\n')) break;
  }
  return {
    child,
    serveUrl: (JSON.parse(stdout) as { serveUrl: string }).serveUrl,
    log: () => stderr,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** An enrolled data folder, and a coordinator that holds the tiny model's files. */
export async function openEnrolledDevice(
  t: Test,
  data?: string,
): Promise<{ coordinator: FakeCoordinator; data: string; model: LaidModel }> {
  const coordinator = await startFakeCoordinator(t);
  const path = data ?? join(await tempFolder(t), 'agent');
  const folder = await openDataFolder(path);
  await enrollDevice(folder, { url: coordinator.url, code: 'CODE-1', facts: testFacts });
  const model = await layTinyModel();
  for (const blob of [model.base, model.adapter, model.tokenizer]) coordinator.addBlob(blob);
  return { coordinator, data: path, model };
}
