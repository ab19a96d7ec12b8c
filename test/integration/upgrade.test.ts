import { once } from 'node:events';
import { join } from 'node:path';
import type {
  Adapter,
  Base,
  CompletionResponse,
  Dataset,
  Device,
  Front,
  Release,
  Rollout,
  ScopedPolicy,
  Search,
  Training,
  Trial,
} from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { type OldRelease, oldReleases, startOldAgent, unpackOldFolders, until } from '../lib/old-folders.js';
import { runPostgres } from '../lib/postgres.js';
import { runCli, spawnCli } from '../lib/run-cli.js';
import { runCoordinator, type TestCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

t.setTimeout(180_000);

/** Everything that was made with the old release is there, under its name. */
async function findsEverything(t: Test, { call }: TestCoordinator, from: OldRelease): Promise<void> {
  const [base] = await call<Base[]>('GET /v1/bases');
  t.match(base, { name: 'tiny', layers: 2, hidden: 32 });
  const adapters = await call<Adapter[]>('GET /v1/adapters');
  t.same(adapters.map(({ name }) => name).sort(), ['trained', 'wide']);
  const [dataset] = await call<Dataset[]>('GET /v1/datasets');
  t.match(dataset, { name: 'rows', rows: 40, splits: { all: { rows: 40 } }, task: { kind: 'completion' } });
  t.match(await call<Training>('GET /v1/trainings/trained'), { state: 'finished', step: 2 });
  t.match(await call<Search>('GET /v1/searches/old'), { state: 'finished' });
  const trials = await call<Trial[]>('GET /v1/searches/old/trials');
  t.ok(trials.length >= 8, `${trials.length} trials`);
  t.ok(trials.every(({ state }) => state === 'finished'));
  const front = await call<Front>('GET /v1/searches/old/front');
  t.ok(front.points.length > 0);
  t.ok(front.points.every(({ finalScore }) => finalScore?.rows === 20));
  const release = await call<Release>('GET /v1/releases/one');
  t.equal(release.number, 1);
  const [rollout] = await call<Rollout[]>('GET /v1/rollouts');
  t.match(rollout, { releaseId: release.id, state: 'succeeded' });
  t.match(await call<Device[]>('GET /v1/devices'), [
    {
      ...{ name: 'first', deviceClass: 'board', online: false, installedReleaseId: release.id },
      ...{ qualification: null, quarantine: null, progress: null },
      labels: from === '0.1.0' ? [] : ['lab'],
    },
  ]);
  const policies = await call<ScopedPolicy[]>('GET /v1/policies');
  t.match(policies, from === '0.1.0' ? [] : [{ scope: { kind: 'label', name: 'lab' } }]);
}

for (const from of oldReleases)
  t.test(
    `folders of release ${from}: all is found, the old device connects, serves and installs`,
    async (t) => {
      const folders = await unpackOldFolders(t, from);
      const coordinator = await runCoordinator(t, { folder: folders.coordinator, token: folders.token });
      await findsEverything(t, coordinator, from);
      await startOldAgent(t, folders.agent, coordinator);
      const [device] = await until(
        () => coordinator.call<Device[]>('GET /v1/devices'),
        ([first]) => first?.online === true && first.serveUrl !== null,
      );
      const answer = await fetch(`${device?.serveUrl}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'row 1: ', max_tokens: 4 }),
      });
      t.equal(answer.status, 200);
      t.ok(
        ((await answer.json()) as CompletionResponse).choices.length > 0,
        'it serves what it had installed',
      );

      // A new release of the old search: packaged, signed with the old key, verified by the old device.
      const release = await coordinator.call<Release>('POST /v1/releases', {
        name: 'two',
        search: 'old',
        goldenPrompts: ['row 1: '],
      });
      t.equal(release.number, 2);
      const rollout = await coordinator.call<Rollout>('POST /v1/rollouts', {
        release: 'two',
        devices: [device?.id],
      });
      const ended = await until(
        () => coordinator.call<Rollout>(`GET /v1/rollouts/${rollout.id}`),
        ({ state }) => state !== 'running',
      );
      t.match(ended, { state: 'succeeded' }, JSON.stringify(ended));
    },
  );

t.test('a search of release 0.2.0 that was cut off goes on by its own plan, and ends', async (t) => {
  const folders = await unpackOldFolders(t, '0.2.0');
  const coordinator = await runCoordinator(t, { folder: folders.coordinator, token: folders.token });
  const search = () => coordinator.call<Search>('GET /v1/searches/cut');
  const trials = () => coordinator.call<Trial[]>('GET /v1/searches/cut/trials');
  t.match(await search(), { state: 'running' });
  const finished = (all: readonly Trial[]) => all.filter(({ state }) => state === 'finished');
  const before = finished(await trials());
  t.ok(before.length >= 3 && before.length < 12, `${before.length} of 12 were measured`);
  await startOldAgent(t, folders.agent, coordinator);
  const ended = await until(search, ({ state }) => state !== 'running' && state !== 'finalizing');
  t.equal(ended.state, 'finished', ended.reason ?? '');
  const after = await trials();
  t.equal(finished(after).length, 12);
  const plan = { promptTokens: 8, kvTokens: 8, prefillRepeats: 2, decodeRepeats: 2, threads: 1 };
  for (const { number, measurement } of after) t.match(measurement?.plan, plan, `trial ${number}`);
  for (const old of before) {
    const now = after.find(({ id }) => id === old.id);
    t.same(now?.measurement, old.measurement, `trial ${old.number} was not measured again`);
  }
});

for (const from of oldReleases)
  t.test(
    `the folder of ${from} moved to PostgreSQL, backed up there, and restored into SQLite`,
    async (t) => {
      const server = await runPostgres(t);
      if (server === null) return;
      const folders = await unpackOldFolders(t, from);
      const env = { DATABASE_URL: server.url };
      const moved = await runCli(
        'fleetlora',
        ['store', 'move', '--data', folders.coordinator, '--json'],
        env,
      );
      t.equal(moved.code, 0, moved.stderr);
      const { tables } = JSON.parse(moved.stdout) as { tables: { table: string; rows: number }[] };
      t.ok((tables.find(({ table }) => table === 'trials')?.rows ?? 0) >= 8);
      const onPostgres = await runCoordinator(t, {
        folder: folders.coordinator,
        token: folders.token,
        config: { databaseUrl: server.url },
      });
      await findsEverything(t, onPostgres, from);
      const parent = await temporaryFolder(t);
      const file = join(parent, 'backup.tar');
      const at = { FLEETLORA_URL: onPostgres.url, FLEETLORA_TOKEN: folders.token };
      const backup = spawnCli('fleetlora', ['backup', file], at);
      t.same(await once(backup, 'close'), [0, null]);
      await onPostgres.stop();
      const folder = join(parent, 'again');
      t.match(await runCli('fleetlora', ['restore', file, '--data', folder]), { code: 0 });
      const restored = await runCoordinator(t, { folder, token: folders.token });
      await findsEverything(t, restored, from);
    },
  );
