import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import type { Adapter, Device, Front, Release, Rollout, Search } from '@fleetlora/shared/protocol';
import { formatBytes, formatSeconds } from '@fleetlora/shared/units';
import { type ApiClient, createApiClient } from '../api-client.js';
import { readSpace } from '../arguments.js';
import { importDataset } from '../commands/dataset.js';
import { watchRollout } from '../commands/rollout.js';
import { watchTraining } from '../commands/train.js';
import { findCoordinator } from '../connection.js';
import { type CliContext, print, printJson, say } from '../context.js';
import { describeGenome } from '../describe-genome.js';
import { renderFront } from '../front-table.js';
import { adapterFiles, baseFiles, uploadFolder } from '../upload-file.js';
import { waitFor } from '../wait-for.js';
import { watchSearch } from '../watch-search.js';
import { askDevice } from './ask-device.js';
import { assets, requireAsset } from './assets.js';
import { renderAnswers, whereToLook } from './closing-words.js';
import { agentFolder, coordinatorFolder, type Demo, type DemoOptions } from './demo.js';
import { demoGates, demoSearch } from './demo-settings.js';
import { prepareData } from './prepare-data.js';
import { createProcesses } from './processes.js';
import { baselineRows, type DemoReport, servedOf, toReportRow } from './report.js';

/**
 * The whole product on this machine with real parts: coordinator and agent as separate
 * processes, every step through the public API. Cleans up after itself on every way out.
 * @throws whatever a step throws; CHILD_FAILED when a process ends early
 */
export async function runDemo(outer: CliContext, options: DemoOptions): Promise<DemoReport> {
  await checkOptions(options);
  const folder = await mkdtemp(join(tmpdir(), 'fleetlora-demo-'));
  const processes = createProcesses(outer.env);
  const context: CliContext = { ...outer, signal: AbortSignal.any([outer.signal, processes.signal]) };
  const tell = (text: string): void => (options.json ? say(context, text) : print(context, text));
  let kept = false;
  try {
    const report = await play({ context, options, folder, processes, tell });
    if (options.reportFile !== null)
      await writeFile(options.reportFile, `${JSON.stringify(report, null, 2)}\n`);
    if (options.json) printJson(context, report);
    kept = options.keep;
    return report;
  } finally {
    if (kept) processes.release();
    else {
      await processes.stop();
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/** Finds out now what would else spoil the run at its end. @throws BAD_USAGE */
async function checkOptions({ reportFile, trainSteps, dataFile }: DemoOptions): Promise<void> {
  if (trainSteps !== null && dataFile !== null)
    throw new CodedError('BAD_USAGE', "--train uses the demo's own rows and cannot go with --data");
  if (reportFile === null) return;
  try {
    await access(dirname(resolve(reportFile)), constants.W_OK);
  } catch (cause) {
    throw new CodedError('BAD_USAGE', `--report ${reportFile} is in no folder that can be written to`, {
      cause,
    });
  }
}

async function play(demo: Demo): Promise<DemoReport> {
  const { context, tell } = demo;
  const startedMs = performance.now();
  const api = await startCoordinator(demo);
  const { scoreFile, trainFile, queries, goldenPrompts } = await prepareData(demo);

  const files = await uploadFolder(context, api, assets.base, baseFiles);
  const base = await api.call('importBase', { body: { name: 'tiny-llama-7m', files } });
  tell(
    `base           ${base.name}: ${(base.parameters / 1e6).toFixed(1)} M parameters, ${formatBytes(base.bytes)} weight file`,
  );
  const adapter = await getAdapter(demo, api, base.id, trainFile);
  tell(`super-adapter  ${adapter.name}: rank ${adapter.rankMax}, ${formatBytes(adapter.bytes)} weight file`);

  const device = await startDevice(demo, api);
  tell(
    `device         ${device.name}: ${device.facts.cpuModel}, ${device.facts.cores} cores, ${device.facts.runtime}`,
  );
  const dataset = await importDataset(context, api, scoreFile, 'demo-test');
  tell(`data           ${dataset.rows} held-out rows, ${queries.length} more kept out of everything\n`);

  const { search, front } = await searchAndShow(demo, api, { adapter, dataset: dataset.id, device });
  const answersBefore = await askDevice(await serveUrlOf(api, device.id), queries, context.signal);
  const { release, rollout } = await releaseAndRollOut(demo, api, search, device, goldenPrompts);
  const served = await api.call('showDevice', { id: device.id });
  const answersAfter = await askDevice(served.serveUrl, queries, context.signal);
  tell(`\n${renderAnswers(context, answersBefore, answersAfter)}`);

  const chosen = [...front.points, ...front.baselines].find(({ id }) => id === front.chosenTrialId);
  if (!chosen) throw new CodedError('STATE_CONFLICT', `no point was chosen: ${front.chosenReason}`);
  const seconds = (performance.now() - startedMs) / 1000;
  tell(
    `\ndone in ${formatSeconds(seconds)}: ${search.finishedTrials} sub-networks measured out of ${search.spaceSize.toExponential(1)}`,
  );
  tell(whereToLook(demo, api, search, served));
  return {
    trials: search.finishedTrials,
    seconds,
    searchSeconds: search.elapsedSeconds,
    spaceSize: search.spaceSize,
    front: front.points.map(toReportRow),
    baselines: baselineRows(front),
    chosen: { ...toReportRow(chosen), reason: front.chosenReason },
    served: servedOf(
      served,
      release,
      rollout.devices.find(({ deviceId }) => deviceId === device.id),
    ),
    answersBefore,
    answersAfter,
  };
}

async function startCoordinator(demo: Demo): Promise<ApiClient> {
  const { context, folder, processes, tell } = demo;
  await requireAsset(assets.coordinator, 'build the checkout with `npm run build`');
  await requireAsset(assets.agent, 'build the checkout with `npm run build`');
  const data = coordinatorFolder(demo);
  const log = join(folder, 'coordinator.log');
  const child = processes.start(
    'coordinator',
    // Nobody watches a demo to see a device qualify.
    [
      ...[assets.coordinator, 'up', '--data', data, '--port', '0', '--mqtt-port', '0', '--log', 'warn'],
      ...['--qualify', 'request'],
    ],
    log,
  );
  const client = async (): Promise<ApiClient> => {
    const found = await findCoordinator({ dataFolder: data }, {});
    return createApiClient({ ...found, signal: context.signal });
  };
  const reach = async (): Promise<ApiClient | null> => {
    const api = await client();
    await api.call('health');
    return api.token === null ? null : api;
  };
  const api = await waitFor(reach, (answer) => answer !== null, { signal: context.signal, everyMs: 100 });
  if (api === null) throw new CodedError('BUG', 'the wait for the coordinator ended without it');
  tell(`coordinator    ${api.url}, process ${child.pid}, log ${log}`);
  return api;
}

/** Trains the super-adapter now, or imports the one that our training made before. */
async function getAdapter(
  demo: Demo,
  api: ApiClient,
  base: string,
  trainFile: string | null,
): Promise<Adapter> {
  const { context, options, tell } = demo;
  const space = await readSpace(options.spaceFile);
  if (options.trainSteps === null) {
    await requireAsset(options.adapterFolder, 'name a PEFT folder with --adapter, or train with --train');
    const files = await uploadFolder(context, api, options.adapterFolder, adapterFiles);
    return api.call('importAdapter', { body: { name: 'demo-adapter', base, files, space } });
  }
  if (trainFile === null) throw new CodedError('BUG', 'a live training without rows');
  tell(`training       ${options.trainSteps} steps, live; the committed adapter had many more`);
  const dataset = await importDataset(context, api, trainFile, 'demo-train');
  const started = await api.call('startTraining', {
    body: {
      name: 'demo-adapter',
      base,
      dataset: dataset.id,
      space,
      options: { steps: options.trainSteps, warmupSteps: Math.ceil(options.trainSteps / 10), seed: 1 },
    },
  });
  const ended = await watchTraining(context, api, started.id);
  const adapter = (await api.call('listAdapters')).find(({ id }) => id === ended.adapterId);
  if (!adapter) throw new CodedError('NOT_FOUND', `training ${ended.id} ended without an adapter`);
  return adapter;
}

/** Enrols an agent, starts it and waits until the coordinator sees it. */
async function startDevice(demo: Demo, api: ApiClient): Promise<Device> {
  const { context, folder, processes } = demo;
  const { code, enrollUrl } = await api.call('createCode', { body: {} });
  const data = ['--data', agentFolder(demo)];
  await processes.run('fleetlora-agent enroll', [assets.agent, 'enroll', enrollUrl, code, ...data]);
  processes.start(
    'agent',
    [assets.agent, 'run', ...data, ...demoGates, '--serve-port', '0', '--log', 'warn'],
    join(folder, 'agent.log'),
  );
  const devices = await waitFor(
    () => api.call('listDevices'),
    (list) => list.some(({ online }) => online),
    {
      signal: context.signal,
      everyMs: 200,
    },
  );
  const device = devices.find(({ online }) => online);
  if (!device) throw new CodedError('BUG', 'the wait for the device ended without it');
  return device;
}

async function searchAndShow(
  demo: Demo,
  api: ApiClient,
  fields: { adapter: Adapter; dataset: string; device: Device },
): Promise<{ search: Search; front: Front }> {
  const { context, options, tell } = demo;
  const body = demoSearch({
    adapter: fields.adapter.id,
    dataset: fields.dataset,
    deviceClass: fields.device.deviceClass,
    trials: options.trials,
  });
  const { id, spaceSize } = await api.call('startSearch', { body });
  tell(
    `search         ${body.strategy} over ${spaceSize.toExponential(1)} sub-networks: ${body.trials} to measure on the device,\n` +
      `               loss on ${body.scoreRows} rows against ${body.costs.join(' and ')}`,
  );
  const search = await watchSearch(context, api, id);
  const front = await api.call('showFront', { id });
  tell(`\nThe front, scored on ${body.finalRows} held-out rows, and the baselines:\n`);
  tell(renderFront(context, front));
  tell(`\n→ ${front.chosenReason}`);
  return { search, front };
}

async function releaseAndRollOut(
  demo: Demo,
  api: ApiClient,
  search: Search,
  device: Device,
  goldenPrompts: readonly string[],
): Promise<{ release: Release; rollout: Rollout }> {
  const { context, tell } = demo;
  const release = await api.call('createRelease', {
    body: { name: 'demo', search: search.id, goldenPrompts: [...goldenPrompts] },
  });
  tell(`\nrelease        ${formatBytes(release.packageBytes)} signed: ${describeGenome(release.genome)}`);
  const { id } = await api.call('startRollout', { body: { release: release.id, devices: [device.id] } });
  const rollout = await watchRollout(context, api, id);
  const [state] = rollout.devices;
  tell(
    `rollout        ${device.name} ${state?.state}, ${state?.healthy ?? 0} of ${state?.checked ?? 0} health prompts answered as expected`,
  );
  return { release, rollout };
}

async function serveUrlOf(api: ApiClient, id: string): Promise<string | null> {
  return (await api.call('showDevice', { id })).serveUrl;
}
