import { readFile } from 'node:fs/promises';
import type { Base, Device, Training, Upload } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { openModels, tinyAdapterFiles, tinyBaseFiles } from '../lib/open-models.js';
import { runCli } from '../lib/run-cli.js';
import { runCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';
import { tinyTraining } from '../lib/tiny-training.js';

const skip = process.platform === 'linux' ? false : 'a machine is known by its boot id on Linux only';

t.test('imports of models wait for a measurement on the machine, one of data does not', async (t) => {
  const { catalog, content, host, upload } = await openModels(t);
  await catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
  const { measuring } = host;
  await measuring.look(async (granted) => ({ running: granted, wanted: !granted }));
  t.equal(measuring.state, 'running');

  let imported = false;
  const importing = catalog
    .importAdapter({ name: 'lora', base: 'tiny', files: await upload(tinyAdapterFiles()) })
    .then((adapter) => {
      imported = true;
      return adapter;
    });
  const all = await content.put(new TextEncoder().encode('{"prompt":"a","completion":"b"}\n'));
  await catalog.importDataset({ name: 'rows', files: { all } });
  t.same(measuring.workers(), []);
  t.notOk(imported);
  await measuring.look(async () => ({ running: false, wanted: false }));
  t.same(measuring.workers(), ['model']);
  t.equal((await importing).name, 'lora');
  t.same(measuring.workers(), []);
});

/** A coordinator with the tiny base uploaded, and a device on its machine that never answers its job. */
async function openBusyMachine(t: Test) {
  const coordinator = await runCoordinator(t);
  const upload = async (value: unknown): Promise<string> => {
    const raw = value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
    return ((await (await coordinator.request('POST /v1/uploads', { raw })).json()) as Upload).digest;
  };
  const files: Record<string, string> = {};
  for (const [name, value] of Object.entries(tinyBaseFiles())) files[name] = await upload(value);
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const device = await enrollTestDevice(coordinator, { facts: { bootId } });
  await (await device.connect()).birth();
  const occupy = async (): Promise<void> => {
    const { runningJobId } = await coordinator.call<Device>(`POST /v1/devices/${device.id}/qualify`);
    t.ok(runningJobId, 'the device measures');
  };
  return { coordinator, upload, files, occupy };
}

t.test('a coordinator that stops refuses an import that waits for a measurement', { skip }, async (t) => {
  const { coordinator, files, occupy } = await openBusyMachine(t);
  await occupy();
  const answer = coordinator.request('POST /v1/bases', { body: { name: 'tiny', files } });
  // Asked later, answered: the import has reached the coordinator.
  t.same(await coordinator.call<Base[]>('GET /v1/bases'), []);
  await coordinator.stop();
  const refused = await answer;
  t.equal(refused.status, 409);
  t.match(await refused.json(), { code: 'STATE_CONFLICT', message: 'the coordinator is stopping' });
});

t.test('a training that waits for a measurement says so, to programs and to people', { skip }, async (t) => {
  const { coordinator, upload, files, occupy } = await openBusyMachine(t);
  await coordinator.call('POST /v1/bases', { name: 'tiny', files });
  const all = await upload(new TextEncoder().encode('{"prompt":"a","completion":"b"}\n'));
  await coordinator.call('POST /v1/datasets', { name: 'rows', files: { all } });
  await occupy();
  const { id, waitReason } = await coordinator.call<Training>('POST /v1/trainings', tinyTraining(100));
  t.equal(waitReason, 'the machine measures');
  const env = { FLEETLORA_URL: coordinator.url, FLEETLORA_TOKEN: coordinator.token };
  for (const args of [['list'], ['show', id]]) {
    const { stdout, stderr } = await runCli('fleetlora', ['training', ...args], env);
    t.match(stdout, /waits: the machine measures/, stderr);
    t.comment(stdout);
  }
});
