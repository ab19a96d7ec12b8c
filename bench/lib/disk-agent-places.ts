import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MeasurePlan, Rollout, Search, Trial } from '@fleetlora/shared/protocol';
import type { SearchSpaceFile } from '@fleetlora/shared/space';
import { KiB } from '@fleetlora/shared/units';
import { refused } from './disk-coordinator-places.js';
import type { DiskGround, DiskPlace } from './disk-ground.js';

/** Every place in which the agent writes, and the packaging of what it measured. */
export async function agentPlaces(ground: DiskGround): Promise<DiskPlace[]> {
  return [
    await download(ground),
    await scratch(ground),
    await outbox(ground),
    await packaging(ground),
    await install(ground),
  ];
}

/** Bytes that an agent's own small files fit in and no model file does. */
const LITTLE = 12 * KiB;
/** Long enough for something to happen while it is measured. */
const longPlan: MeasurePlan = {
  promptTokens: 32,
  kvTokens: 32,
  prefillRepeats: 512,
  decodeRepeats: 1024,
  threads: 1,
};

async function search(
  ground: DiskGround,
  name: string,
  changes: { forms?: SearchSpaceFile['forms']; plan?: MeasurePlan } = {},
): Promise<Search> {
  const { fleet, models } = ground;
  return fleet.call<Search>('POST /v1/searches', {
    name,
    adapter: models.adapter,
    dataset: models.dataset,
    deviceClass: fleet.deviceClass,
    strategy: 'random',
    quality: 'loss',
    costs: ['decodeMs'],
    trials: 4,
    seed: 1,
    scoreRows: 8,
    finalRows: 0,
    finalPoints: 0,
    require: [],
    plan: changes.plan ?? models.plan,
    maxTokens: 32,
    // Each job is a trial.
    sentinelEvery: 0,
    space: { ...models.space, forms: changes.forms ?? ['unmerged'] },
  });
}
const measured = (ground: DiskGround, name: string): Promise<Trial[] | null> =>
  ground.until(
    () => ground.fleet.call<Trial[]>(`GET /v1/searches/${name}/trials`),
    (trials) => trials.some(({ state }) => state === 'finished'),
  );
const ended = (ground: DiskGround, name: string): Promise<Search | null> =>
  ground.until(
    () => ground.fleet.call<Search>(`GET /v1/searches/${name}`),
    ({ state }) => state !== 'running' && state !== 'finalizing',
  );

async function download(ground: DiskGround): Promise<DiskPlace> {
  const disk = ground.disks.agent;
  const before = await ground.files('agent');
  await disk.fill(LITTLE);
  await search(ground, 'first');
  const error = await ground.complaint('agent');
  const left = await ground.halfWritten('agent', before);
  await disk.empty();
  const trials = await measured(ground, 'first');
  const end = await ended(ground, 'first');
  const tried = trials?.filter(({ state }) => state === 'failed').length;
  return {
    place: 'artifact download',
    error,
    left,
    wentOn: end?.state === 'finished' && tried === 0 ? 'fetched, and the same job measured' : null,
  };
}

/** A merged candidate is built on the device before it is measured. */
async function scratch(ground: DiskGround): Promise<DiskPlace> {
  const disk = ground.disks.agent;
  const before = await ground.files('agent');
  await disk.fill(LITTLE);
  await search(ground, 'merged', { forms: ['merged'] });
  const error = await ground.complaint('agent');
  const left = await ground.halfWritten('agent', before);
  await disk.empty();
  const end = await ended(ground, 'merged');
  const trials = await ground.fleet.call<Trial[]>('GET /v1/searches/merged/trials');
  const failed = trials.filter(({ state }) => state !== 'finished').length;
  return {
    place: 'merging on the device',
    error,
    left,
    wentOn: end?.state === 'finished' && failed === 0 ? 'the same job measured' : null,
  };
}

/**
 * The disk is full when a measurement ends, and the coordinator is gone: the result can go nowhere.
 * It is kept in memory, no other job is measured, and it is stored when there is space.
 */
async function outbox(ground: DiskGround): Promise<DiskPlace> {
  const { fleet, disks } = ground;
  const endpoint = await readFile(join(disks.agent.folder, 'endpoint.json'), 'utf8');
  const { url } = JSON.parse(endpoint) as { url: string };
  const runningJob = async (): Promise<string | null> => {
    const health = (await (await fetch(`${url}/health`)).json()) as { runningJobId: string | null };
    return health.runningJobId;
  };
  const messages = async (): Promise<string[]> =>
    (await readdir(join(disks.agent.folder, 'outbox'))).filter((name) => name.endsWith('.json'));

  await search(ground, 'long', { plan: longPlan });
  const job = await ground.until(runningJob, (found) => found !== null);
  // The scratch folder is there: only the result is still to be written.
  await ground.until(
    () => readdir(join(disks.agent.folder, 'scratch')),
    (names) => names.length > 0,
  );
  const before = await ground.files('agent');
  await fleet.kill('coordinator');
  await disks.agent.fill();
  const error = await ground.complaint('agent');
  const left = await ground.halfWritten('agent', before);
  const held = await runningJob();
  await disks.agent.empty();
  const stored = await ground.until(messages, (names) => names.length === 1);
  await fleet.start('coordinator');
  const end = await ended(ground, 'long');
  const count = (await fleet.call<Trial[]>('GET /v1/searches/long/trials')).filter(
    ({ state }) => state === 'finished',
  ).length;
  const good = job !== null && held === job && stored !== null && end?.state === 'finished' && count >= 4;
  return {
    place: 'outbox write',
    error,
    left,
    wentOn: good ? 'kept in memory, its job held; stored, then delivered' : null,
  };
}

async function packaging(ground: DiskGround): Promise<DiskPlace> {
  const trials = await ground.fleet.call<Trial[]>('GET /v1/searches/first/trials');
  const trial = trials.find(({ state }) => state === 'finished')?.id;
  return refused(ground, 'release packaging', 8 * KiB, () =>
    ground.ask('POST /v1/releases', {
      body: { name: 'chosen', search: 'first', trial, goldenPrompts: ['1 and 1?'] },
    }),
  );
}

async function install(ground: DiskGround): Promise<DiskPlace> {
  const { fleet, disks } = ground;
  const before = await ground.files('agent');
  await disks.agent.fill(LITTLE);
  const { id } = await fleet.call<Rollout>('POST /v1/rollouts', {
    release: 'chosen',
    deviceClass: fleet.deviceClass,
  });
  const error = await ground.complaint('agent');
  const left = await ground.halfWritten('agent', before);
  await disks.agent.empty();
  const rollout = await ground.until(
    () => fleet.call<Rollout>(`GET /v1/rollouts/${id}`),
    ({ state }) => state !== 'running',
  );
  return {
    place: 'installation on the device',
    error,
    left,
    wentOn: rollout?.state === 'succeeded' ? 'installed and healthy' : null,
  };
}
