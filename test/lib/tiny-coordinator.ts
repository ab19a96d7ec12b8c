import { join } from 'node:path';
import { startAgent } from '@fleetlora/agent';
import { openDataFolder } from '@fleetlora/agent/folder';
import { enrollDevice } from '@fleetlora/agent/identity';
import type { Code, Upload } from '@fleetlora/shared/protocol';
import type { Test } from 'tap';
import { tinyAdapterFiles, tinyBaseFiles } from './open-models.js';
import { runCoordinator, type TestCoordinator } from './running-coordinator.js';
import { tempFolder } from './temp-folder.js';
import { testFacts } from './test-device.js';

/** A coordinator with the base "tiny", its adapter "lora" and the data set "rows" of 8 rows. */
export async function openTinyCoordinator(t: Test): Promise<TestCoordinator> {
  const coordinator = await runCoordinator(t);
  const upload = async (value: unknown): Promise<string> => {
    const raw = value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
    return ((await (await coordinator.request('POST /v1/uploads', { raw })).json()) as Upload).digest;
  };
  const uploadAll = async (files: Readonly<Record<string, unknown>>): Promise<Record<string, string>> => {
    const digests: Record<string, string> = {};
    for (const [name, value] of Object.entries(files)) digests[name] = await upload(value);
    return digests;
  };
  await coordinator.call('POST /v1/bases', { name: 'tiny', files: await uploadAll(tinyBaseFiles()) });
  await coordinator.call('POST /v1/adapters', {
    name: 'lora',
    base: 'tiny',
    files: await uploadAll(tinyAdapterFiles()),
  });
  const rows = Array.from({ length: 8 }, (_, row) => `{"prompt":"${row}?","completion":" ${row}"}`);
  const all = await upload(new TextEncoder().encode(rows.join('\n')));
  await coordinator.call('POST /v1/datasets', { name: 'rows', files: { all } });
  return coordinator;
}

/** A real agent of the class "board" that waits for nothing, on the machine of its coordinator as this test is. */
export async function openHostAgent(t: Test, coordinator: TestCoordinator, name: string): Promise<void> {
  const dataFolder = join(await tempFolder(t), 'agent');
  const { code } = await coordinator.call<Code>('POST /v1/codes', { deviceClass: 'board' });
  const facts = testFacts;
  await enrollDevice(await openDataFolder(dataFolder), { url: coordinator.url, code, name, facts });
  const gates = { coolWaitSeconds: 0, quietWaitSeconds: 0 };
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const config = { servePort: 0, serveThreads: 1, logLevel: 'silent', dataFolder, ...gates } as const;
  const agent = await startAgent(config, quiet);
  t.teardown(() => agent.stop());
}
