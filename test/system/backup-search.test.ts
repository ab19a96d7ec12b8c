import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Device, Search, Trial } from '@fleetlora/shared/protocol';
import t from 'tap';
import { startOldAgent, unpackOldFolders, until } from '../lib/old-folders.js';
import { runCli } from '../lib/run-cli.js';
import { runCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

t.setTimeout(300_000);

t.test(
  'a backup in the middle of a search of 16 trials; the restored coordinator ends the search',
  async (t) => {
    const folders = await unpackOldFolders(t);
    const first = await runCoordinator(t, { folder: folders.coordinator, token: folders.token });
    await startOldAgent(t, folders.agent, first);
    const [device] = await until(
      () => first.call<Device[]>('GET /v1/devices'),
      ([device]) => device?.online === true,
    );
    await first.call<Search>('POST /v1/searches', {
      ...{ name: 'new', adapter: 'wide', dataset: 'rows', deviceClass: device?.deviceClass },
      ...{ strategy: 'nsga2', quality: 'loss', costs: ['decodeMs'], trials: 16, seed: 2 },
      ...{ scoreRows: 20, finalRows: 20, finalPoints: 2, require: [], maxTokens: 16 },
      plan: { promptTokens: 8, kvTokens: 8, prefillRepeats: 2, decodeRepeats: 2, threads: 1 },
      // So few samples differ by more than a steady device's do.
      sentinelEvery: 0,
    });
    await until(
      () => first.call<Search>('GET /v1/searches/new'),
      ({ finishedTrials }) => finishedTrials >= 3,
    );
    const parent = await temporaryFolder(t);
    const file = join(parent, 'backup.tar');
    const at = { FLEETLORA_URL: first.url, FLEETLORA_TOKEN: first.token };
    t.match(await runCli('fleetlora', ['backup', file], at), { code: 0 });
    // What ran when the backup was made is measured and acknowledged by now; the restored coordinator does not know.
    const atBackup = await first.call<Search>('GET /v1/searches/new');
    t.match(atBackup, { state: 'running' }, 'it was running throughout');
    await until(
      () => first.call<Search>('GET /v1/searches/new'),
      ({ finishedTrials }) => finishedTrials > atBackup.finishedTrials,
    );
    await first.stop();
    await rm(folders.coordinator, { recursive: true });

    t.match(await runCli('fleetlora', ['restore', file, '--data', join(parent, 'again')]), { code: 0 });
    const port = (url: string): number => Number(new URL(url).port);
    const restored = await runCoordinator(t, {
      folder: join(parent, 'again'),
      token: first.token,
      config: { webPort: port(first.url), mqttPort: port(first.mqttUrl) },
    });
    const search = await until(
      () => restored.call<Search>('GET /v1/searches/new'),
      ({ state }) => state !== 'running' && state !== 'finalizing',
    );
    t.match(search, { state: 'finished' }, search.reason ?? '');
    const trials = await restored.call<Trial[]>('GET /v1/searches/new/trials');
    t.equal(new Set(trials.map(({ genome }) => genome)).size, trials.length, 'no candidate twice');
    t.ok(trials.length >= 16 && trials.every(({ state }) => state === 'finished'), `${trials.length} trials`);
  },
);
