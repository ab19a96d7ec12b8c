import { join } from 'node:path';
import { type RunningAgent, startAgent } from '@fleetlora/agent';
import { openDataFolder } from '@fleetlora/agent/folder';
import { enrollDevice } from '@fleetlora/agent/identity';
import type { Sensors } from '@fleetlora/agent/policy';
import type { Code, Device, MeasurePlan, PolicySet, Search, Trial, Upload } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { tinyAdapterFiles, tinyBaseFiles } from '../lib/open-models.js';
import { runCli } from '../lib/run-cli.js';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { tempFolder } from '../lib/temp-folder.js';
import { testFacts } from '../lib/test-device.js';

/** What a test lets a device sense. */
interface Senses {
  onMains: boolean | null;
  minuteOfDay: number;
}

interface TestAgent {
  readonly name: string;
  readonly senses: Senses;
  readonly dataFolder: string;
  agent: RunningAgent;
  /** Stops it and starts it again over the same folder. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** What a device logs is not looked at here. */
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const at = (hours: number, minutes: number): number => hours * 60 + minutes;
const short: MeasurePlan = { promptTokens: 4, kvTokens: 4, prefillRepeats: 1, decodeRepeats: 2, threads: 1 };

async function upload({ request }: TestCoordinator, value: unknown): Promise<string> {
  const raw = value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
  return ((await (await request('POST /v1/uploads', { raw })).json()) as Upload).digest;
}

/** A coordinator that knows the tiny model, an adapter and data. */
async function openCoordinator(t: Test): Promise<TestCoordinator> {
  const coordinator = await runCoordinator(t);
  const filesOf = async (files: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(files).map(async ([name, value]) => [name, await upload(coordinator, value)]),
      ),
    );
  await coordinator.call('POST /v1/bases', { name: 'tiny', files: await filesOf(tinyBaseFiles()) });
  const adapter = { name: 'lora', base: 'tiny', files: await filesOf(tinyAdapterFiles()) };
  await coordinator.call('POST /v1/adapters', adapter);
  const rows = new TextEncoder().encode('{"prompt":"a","completion":"b"}\n{"prompt":"b","completion":"c"}\n');
  await coordinator.call('POST /v1/datasets', {
    name: 'rows',
    files: { all: await upload(coordinator, rows) },
  });
  return coordinator;
}

const config = {
  servePort: 0,
  serveThreads: 1,
  coolWaitSeconds: 0,
  quietWaitSeconds: 0,
  logLevel: 'silent',
} as const;

/** A real agent in this process, whose sensors the test sets. */
async function openAgent(t: Test, coordinator: TestCoordinator, name: string): Promise<TestAgent> {
  const dataFolder = join(await tempFolder(t), 'agent');
  const { code } = await coordinator.call<Code>('POST /v1/codes', { deviceClass: 'board' });
  await enrollDevice(await openDataFolder(dataFolder), {
    url: coordinator.url,
    code,
    name,
    facts: testFacts,
  });
  const senses: Senses = { onMains: true, minuteOfDay: at(14, 10) };
  const sensors: Sensors = {
    onMains: async () => senses.onMains,
    temperatureC: async () => null,
    metered: async () => null,
    localTime: () => ({ minuteOfDay: senses.minuteOfDay, isSet: true }),
  };
  const start = () =>
    startAgent({ ...config, dataFolder }, quiet, {
      sensors,
      checkPoliciesEveryMs: 20,
    });
  const opened: TestAgent = {
    name,
    senses,
    dataFolder,
    agent: await start(),
    async restart() {
      await opened.agent.stop();
      opened.agent = await start();
    },
    stop: () => opened.agent.stop(),
  };
  t.teardown(opened.stop);
  return opened;
}

/** Asks for a device until it is as wanted. */
async function untilDevice(
  { call }: TestCoordinator,
  name: string,
  isWanted: (device: Device) => boolean,
): Promise<Device> {
  for (;;) {
    const device = await call<Device>(`GET /v1/devices/${name}`);
    if (isWanted(device)) return device;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const untilReason = (coordinator: TestCoordinator, name: string, reason: RegExp): Promise<Device> =>
  untilDevice(coordinator, name, ({ idleReason }) => reason.test(idleReason ?? ''));

async function search({ call }: TestCoordinator, name: string, trials: number, plan = short) {
  await call<Search>('POST /v1/searches', {
    name,
    adapter: 'lora',
    dataset: 'rows',
    deviceClass: 'board',
    strategy: 'random',
    quality: 'loss',
    costs: ['decodeMs'],
    trials,
    seed: 1,
    scoreRows: 2,
    finalRows: 0,
    finalPoints: 0,
    // A job is a trial: what is counted here are jobs.
    sentinelEvery: 0,
    require: [],
    plan,
    maxTokens: 16,
  });
  return {
    async finished(): Promise<Trial[]> {
      for (;;) {
        const { state } = await call<Search>(`GET /v1/searches/${name}`);
        if (state !== 'running' && state !== 'finalizing') break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return call<Trial[]>(`GET /v1/searches/${name}/trials`);
    },
  };
}

t.test('policies by label and class, from the API to the device and back', async (t) => {
  const coordinator = await openCoordinator(t);
  const [day, night] = [await openAgent(t, coordinator, 'day'), await openAgent(t, coordinator, 'night')];
  for (const { name } of [day, night])
    t.match(await untilDevice(coordinator, name, ({ online }) => online), {
      conditions: { mayMeasure: true, reasons: [], onMains: true, localTime: '14:10' },
    });

  const nightly: PolicySet = {
    scope: { kind: 'label', name: 'nightly' },
    policy: { hours: ['22:00-06:00'] },
  };
  const put = (route: string, body: unknown) => coordinator.request(route, { body });
  t.match(await (await put('PUT /v1/policies', nightly)).json(), nightly);
  t.match(await (await put('PUT /v1/devices/night/labels', { labels: ['nightly'] })).json(), {
    name: 'night',
    labels: ['nightly'],
  });
  const outside = 'policy of label nightly: outside 22:00-06:00';
  t.match(await untilReason(coordinator, 'night', /outside/), {
    idleReason: `${outside}, now 14:10 there`,
    conditions: { mayMeasure: false, reasons: [outside] },
  });

  const trials = await (await search(coordinator, 'by-day', 3)).finished();
  const { id: dayId } = await coordinator.call<Device>('GET /v1/devices/day');
  t.match(
    trials.map(({ state, deviceId }) => [state, deviceId]),
    [1, 2, 3].map(() => ['finished', dayId]),
    'the device that may measure took all',
  );

  const status = (...more: string[]) =>
    runCli('fleetlora-agent', ['status', '--data', night.dataFolder, ...more]);
  const { stdout } = await status();
  t.match(stdout, new RegExp(`^may measure +no: ${outside}, now 14:10 there$`, 'm'));
  t.match(stdout, /^senses +14:10, on mains power$/m);
  t.match(stdout, /^policy +label nightly: 22:00-06:00$/m);
  t.match(JSON.parse((await status('--json')).stdout), { conditions: { mayMeasure: false } });

  // Known before the coordinator is: nothing of the connection is waited for.
  await night.restart();
  t.match(night.agent.status(), { conditions: { mayMeasure: false }, policies: [nightly] });
  night.senses.minuteOfDay = at(22, 0);
  await untilReason(coordinator, 'night', /^no search has work/);

  // A policy of both devices: nobody measures, and the trials wait for the first that may.
  day.senses.onMains = false;
  night.senses.onMains = false;
  t.equal(
    (await put('PUT /v1/policies', { scope: { kind: 'class', name: 'board' }, policy: { mainsPower: true } }))
      .status,
    200,
  );
  for (const { name } of [day, night])
    await untilReason(coordinator, name, /^policy of class board: not on mains power$/);
  const patient = await search(coordinator, 'patient', 2);
  night.senses.onMains = true;
  const { id: nightId } = await coordinator.call<Device>('GET /v1/devices/night');
  t.match(
    (await patient.finished()).map(({ state, deviceId }) => [state, deviceId]),
    [1, 2].map(() => ['finished', nightId]),
  );

  const removed = await coordinator.request('DELETE /v1/policies/class/board');
  t.match(await removed.json(), { policy: { mainsPower: true } });
  t.equal((await coordinator.request('DELETE /v1/policies/class/board')).status, 404);
  await untilReason(coordinator, 'day', /^no search has work/);
  t.match(await (await coordinator.request('GET /v1/policies')).json(), [nightly]);
  t.equal((await put('PUT /v1/policies', { ...nightly, policy: { hours: ['late'] } })).status, 400);

  await day.stop();
  t.match(await untilReason(coordinator, 'day', /^offline/), { conditions: { onMains: false } });
});

t.test('a request that is served stops a measurement, and the trial is measured afterwards', async (t) => {
  const coordinator = await openCoordinator(t);
  const board = await openAgent(t, coordinator, 'board');
  await untilDevice(coordinator, 'board', ({ online }) => online);
  await (await search(coordinator, 'first', 1)).finished();

  // Longer than the test takes to notice that it runs.
  const long = { ...short, kvTokens: 32, prefillRepeats: 64, decodeRepeats: 256 };
  const second = await search(coordinator, 'second', 1, long);
  while (board.agent.status().runningJobId === null) await new Promise(setImmediate);
  const response = await fetch(`${board.agent.serveUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'ab', max_tokens: 4 }),
  });
  t.equal(response.status, 200, 'the request was answered meanwhile');
  t.match(await untilReason(coordinator, 'board', /serves requests/), {
    idleReason: 'it serves requests; waits for 5 s without one',
    runningJobId: null,
  });
  t.match(await second.finished(), [{ state: 'finished', measurement: { decode: { n: 256 } } }]);
  const ends = coordinator.log.filter(({ msg }) => msg === 'job ended').map(({ state }) => state);
  t.same(ends, ['SUCCEEDED', 'POSTPONED', 'SUCCEEDED']);
});

t.test('a plug that is pulled stops a measurement', async (t) => {
  const coordinator = await openCoordinator(t);
  const board = await openAgent(t, coordinator, 'board');
  await untilDevice(coordinator, 'board', ({ online }) => online);
  const body = { scope: { kind: 'class', name: 'board' }, policy: { mainsPower: true } };
  await coordinator.request('PUT /v1/policies', { body });
  const long = { ...short, kvTokens: 32, prefillRepeats: 64, decodeRepeats: 256 };
  const running = await search(coordinator, 'plugged', 1, long);
  while (board.agent.status().runningJobId === null) await new Promise(setImmediate);
  board.senses.onMains = false;
  await untilReason(coordinator, 'board', /^policy of class board: not on mains power$/);
  board.senses.onMains = true;
  t.match(await running.finished(), [{ state: 'finished' }]);
  t.same(
    coordinator.log.filter(({ msg }) => msg === 'job ended').map(({ state }) => state),
    ['POSTPONED', 'SUCCEEDED'],
  );
});
