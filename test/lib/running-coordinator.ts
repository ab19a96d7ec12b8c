import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CoordinatorConfig, type RunningCoordinator, startCoordinator } from '@fleetlora/coordinator';
import type { Clock } from '@fleetlora/shared/clock';
import type { Test } from 'tap';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface TestCoordinator {
  readonly url: string;
  readonly mqttUrl: string;
  readonly token: string;
  readonly folder: string;
  /** Everything logged so far, parsed. */
  readonly log: readonly LogLine[];
  /** Sends a request as the admin (or with another token, or none). */
  request(
    route: string,
    options?: { body?: unknown; token?: string | null; headers?: Record<string, string>; raw?: Uint8Array },
  ): Promise<Response>;
  /** The JSON answer of a request that must succeed. */
  call<T>(route: string, body?: unknown): Promise<T>;
  stop(): Promise<void>;
}

/** A temporary folder that is gone after the test. */
export async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetlora-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A real coordinator on free ports, stopped after the test. `token` is needed for a second start. */
export async function runCoordinator(
  t: Test,
  options: { folder?: string; token?: string; clock?: Clock; config?: Partial<CoordinatorConfig> } = {},
): Promise<TestCoordinator> {
  const folder = options.folder ?? (await temporaryFolder(t));
  const log: LogLine[] = [];
  const running = await startCoordinator(
    {
      ...{ dataFolder: folder, host: '127.0.0.1', webPort: 0, mqttPort: 0, logLevel: 'info' },
      // Devices get the jobs of the test, and no others.
      qualify: 'onRequest',
      ...options.config,
    },
    { clock: options.clock, logStream: { write: (line) => void log.push(JSON.parse(line) as LogLine) } },
  );
  t.teardown(() => running.stop());
  const token = running.adminToken ?? options.token ?? '';
  const request: TestCoordinator['request'] = (route, given = {}) => {
    const [method, path] = route.split(' ') as [string, string];
    const bearer = given.token === undefined ? token : given.token;
    return fetch(`${running.url}${path}`, {
      method,
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(given.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(given.raw === undefined ? {} : { 'content-type': 'application/octet-stream' }),
        ...given.headers,
      },
      body: given.raw ?? (given.body === undefined ? undefined : JSON.stringify(given.body)),
    });
  };
  return {
    url: running.url,
    mqttUrl: running.mqttUrl,
    token,
    folder,
    log,
    request,
    async call<T>(route: string, body?: unknown) {
      const response = await request(route, { body });
      if (!response.ok) throw new Error(`${route}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    },
    stop: () => running.stop(),
  };
}

/** A real coordinator on free ports that logs nothing; whoever starts it stops it. */
export function startQuietCoordinator(
  dataFolder: string,
  databaseUrl: string | null,
): Promise<RunningCoordinator> {
  return startCoordinator({
    dataFolder,
    host: '127.0.0.1',
    webPort: 0,
    mqttPort: 0,
    logLevel: 'silent',
    databaseUrl,
    qualify: 'onRequest',
  });
}
