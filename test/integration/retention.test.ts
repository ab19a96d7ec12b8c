import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createProgram } from '@fleetlora/coordinator/cli';
import { createContentGate, createRetention, STALLED_MS, YOUNG_MS } from '@fleetlora/coordinator/retention';
import { openStore } from '@fleetlora/coordinator/store';
import {
  type Dataset,
  defaultRetention,
  type GarbageReport,
  type Retention,
  type Upload,
} from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { createManualClock } from '../lib/manual-clock.js';
import { memoryContext } from '../lib/memory-context.js';
import { runCoordinator, type TestCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

const DAY = 86_400_000;
const digest = (letter: string): string => letter.repeat(64);
const names = async (folder: string): Promise<string> =>
  (await readdir(folder))
    .map((name) => name[0])
    .sort()
    .join('');

/** Sets when a file was last of use. */
async function setAge(path: string, nowMs: number, ageMs: number): Promise<void> {
  const time = new Date(nowMs - ageMs);
  await utimes(path, time, time);
}

/** Retention over a real store and real folders, and a clock that stands still. */
async function open(t: Test, options: { patienceMs?: number } = {}) {
  const dataFolder = await temporaryFolder(t);
  const store = await openStore(join(dataFolder, 'coordinator.db'));
  t.teardown(() => store.close());
  const clock = createManualClock();
  const gate = createContentGate();
  const log: string[] = [];
  let planned = (): void => {};
  /** Resolves when the first collection has read everything its plan is made of. */
  const untilPlanned = new Promise<void>((resolve) => {
    planned = resolve;
  });
  const note = (_fields: object, message: string): void => void log.push(message);
  const retention = createRetention({
    repository: {
      ...store.retention,
      async listNamedContent() {
        const named = await store.retention.listNamedContent();
        planned();
        return named;
      },
    },
    gate,
    dataFolder,
    clock,
    log: { info: note, warn: note },
    ...options,
  });
  for (const part of ['content', 'incoming', 'training']) await mkdir(join(dataFolder, part));
  const add = async (path: string, ageMs: number, bytes = 10): Promise<void> => {
    await writeFile(join(dataFolder, path), Buffer.alloc(bytes));
    await setAge(join(dataFolder, path), clock.nowMs(), ageMs);
  };
  const content = (letter: string): string => join('content', digest(letter));
  const addDataset = (letter: string) =>
    store.catalog.insertDataset({
      id: `data_${letter}`,
      name: letter,
      digest: digest(letter),
      rows: 1,
      splits: { all: { digest: digest(letter), rows: 1 } },
      task: { kind: 'completion' },
      report: null,
      createdAtMs: 1,
    });
  return { dataFolder, store, clock, gate, retention, untilPlanned, log, add, content, addDataset };
}

t.test('what is shown goes, what is needed or young stays [content, incoming, training]', async (t) => {
  const { dataFolder, retention, add, content, addDataset } = await open(t);
  await add(content('a'), 31 * DAY, 100);
  await add(content('b'), 31 * DAY, 20);
  await addDataset('b');
  await add(content('c'), 29 * DAY, 3);
  await add(join('content', `${digest('d')}.x.part`), STALLED_MS + 1000, 5);
  await add(join('content', `${digest('e')}.x.part`), YOUNG_MS, 5);
  await add(join('content', 'README'), 999 * DAY, 5);
  await add('incoming/f', STALLED_MS + 1000, 6);
  await add('incoming/g', 1000, 6);
  await mkdir(join(dataFolder, 'training', 'trn_none'));
  await add('training/trn_none/checkpoint.safetensors', 2 * YOUNG_MS, 8);
  // The folder was made just now by the clock of the machine; the record's clock stands in 2023.
  await setAge(join(dataFolder, 'training', 'trn_none'), 1_700_000_000_000, 2 * YOUNG_MS);

  const shown = await retention.collect({ dryRun: true });
  t.match(shown, { deleted: false, bytes: 119, storedBytes: 123, neededBytes: 20 });
  t.same(
    shown.items.map(({ kind, id }) => `${kind} ${id.slice(0, 12)}`),
    ['checkpoint trn_none', 'artifact aaaaaaaaaaaa', 'partial content/dddd', 'partial incoming/f'],
  );
  t.equal(await names(join(dataFolder, 'content')), 'Rabcde', 'nothing went');

  const done = await retention.collect({ dryRun: false });
  t.same(done, { ...shown, deleted: true });
  t.equal(await names(join(dataFolder, 'content')), 'Rbce');
  t.equal(await names(join(dataFolder, 'incoming')), 'g');
  t.equal(await names(join(dataFolder, 'training')), '');
  t.match(await retention.collect({ dryRun: false }), { items: [], bytes: 0, storedBytes: 23 });
});

t.test('what is recorded, stored once more or gone between plan and deletion', async (t) => {
  const { dataFolder, clock, gate, retention, untilPlanned, add, content, addDataset } = await open(t);
  for (const letter of ['a', 'b', 'c', 'd']) await add(content(letter), 40 * DAY);
  let collecting: Promise<GarbageReport> | null = null;
  await gate.hold('an import', async () => {
    collecting = retention.collect({ dryRun: false });
    await untilPlanned;
    await addDataset('a');
    await setAge(join(dataFolder, content('b')), clock.nowMs(), 0);
    await rm(join(dataFolder, content('d')));
  });
  const { items, bytes } = await (collecting as unknown as Promise<GarbageReport>);
  t.same(
    items.map(({ id }) => id[0]),
    ['c'],
    'only what really went is reported',
  );
  t.equal(bytes, 10);
  t.equal(await names(join(dataFolder, 'content')), 'ab');
});

t.test('nothing is deleted beside a backup, and the one who asks is told of it', async (t) => {
  const { dataFolder, gate, retention, add, content } = await open(t, { patienceMs: 1 });
  await add(content('a'), 40 * DAY);
  await gate.hold('a backup', async () => {
    await t.rejects(retention.collect({ dryRun: false }), coded('STATE_CONFLICT', 'a backup'));
    t.match(
      await retention.collect({ dryRun: true }),
      { items: [{ kind: 'artifact' }] },
      'shown all the same',
    );
  });
  t.equal(await names(join(dataFolder, 'content')), 'a');
  t.match(await retention.collect({ dryRun: false }), { items: [{ kind: 'artifact' }] });
});

t.test('a holder that comes while 100 files go finds each of them whole or gone', async (t) => {
  const { dataFolder, gate, retention, add } = await open(t);
  const letters = Array.from({ length: 100 }, (_, index) => index.toString(16).padStart(64, '0'));
  for (const name of letters) await add(join('content', name), 40 * DAY);
  const collecting = retention.collect({ dryRun: false });
  const seen: number[] = [];
  for (let round = 0; round < 5; round++)
    await gate.hold('an upload', async () => {
      const before = (await readdir(join(dataFolder, 'content'))).length;
      await new Promise((resolve) => setImmediate(resolve));
      t.equal((await readdir(join(dataFolder, 'content'))).length, before, 'nothing goes while it holds');
      seen.push(before);
    });
  t.equal((await collecting).items.length, 100);
  t.equal(await names(join(dataFolder, 'content')), '');
  t.same(
    seen,
    [...seen].sort((a, b) => b - a),
  );
});

t.test('by itself: only when set, once a day, also after a restart', async (t) => {
  const { dataFolder, clock, gate, retention, log, add, content } = await open(t, { patienceMs: 1 });
  const there = (): Promise<string> => names(join(dataFolder, 'content'));
  await add(content('a'), 40 * DAY);
  await retention.runIfDue();
  t.equal(await there(), 'a', 'not by default');
  await retention.set({ ...defaultRetention, automatic: true });
  await gate.hold('a backup', () => retention.runIfDue());
  t.equal(await there(), 'a');
  t.match(log.join(), /another time/);
  await retention.runIfDue();
  t.equal(await there(), '', 'what was put off does not wait a day');
  await add(content('b'), 40 * DAY);
  clock.advance(DAY - 1);
  await retention.runIfDue();
  t.equal(await there(), 'b', 'a millisecond early');
  clock.advance(1);
  await retention.runIfDue();
  t.equal(await there(), '');
  await add(content('c'), 40 * DAY);
  clock.advance(-10 * DAY);
  await setAge(join(dataFolder, content('c')), clock.nowMs(), 40 * DAY);
  await retention.runIfDue();
  t.equal(await there(), '', 'a clock that was set back');
});

const upload = async (coordinator: TestCoordinator, bytes: string): Promise<string> => {
  const response = await coordinator.request('POST /v1/uploads', { raw: Buffer.from(bytes) });
  return ((await response.json()) as Upload).digest;
};

t.test('over the API of a real coordinator: settings last, data stays, its source goes', async (t) => {
  const coordinator = await runCoordinator(t);
  const row = '{"prompt":"a","completion":"b"}\n';
  const kept = await upload(coordinator, row);
  const stray = await upload(coordinator, 'broken');
  const young = await upload(coordinator, 'young');
  await coordinator.call<Dataset>('POST /v1/datasets', { name: 'rows', files: { all: kept } });
  const dataset = (await coordinator.call<Dataset[]>('GET /v1/datasets'))[0];
  t.ok(dataset);
  const path = (digest: string): string => join(coordinator.folder, 'content', digest);
  for (const digest of [stray, dataset?.digest ?? '']) await setAge(path(digest), Date.now(), 3 * DAY);

  t.same(await coordinator.call<Retention>('GET /v1/retention'), defaultRetention);
  const wanted: Retention = { ...defaultRetention, artifactsDays: 3 };
  const put = (body: unknown) => coordinator.request('PUT /v1/retention', { body });
  t.same(await (await put(wanted)).json(), wanted);
  for (const [change, field] of [
    [{ samplesDays: 0 }, 'samplesDays'],
    [{ searchesDays: 36_501 }, 'searchesDays'],
    [{ artifactsBytes: -1 }, 'artifactsBytes'],
    [{ automatic: 'yes' }, 'automatic'],
    [{ unknown: 1 }, 'unknown'],
  ] as const) {
    const refused = await put({ ...defaultRetention, ...change });
    t.equal(refused.status, 400, field);
    t.match(await refused.json(), { code: 'BAD_REQUEST' });
  }
  const collect = (dryRun: boolean) => coordinator.call<GarbageReport>('POST /v1/gc', { dryRun });
  t.match(await collect(true), { deleted: false, items: [{ kind: 'artifact', id: stray, bytes: 6 }] });
  t.match(await collect(false), { deleted: true, items: [{ id: stray }], bytes: 6 });
  const left = await readdir(join(coordinator.folder, 'content'));
  t.notOk(left.includes(stray));
  t.ok(left.includes(young) && left.includes(dataset?.digest ?? ''));
  t.equal((await coordinator.request('POST /v1/gc', { body: {} })).status, 400, 'dryRun has to be said');

  await coordinator.stop();
  const again = await runCoordinator(t, { folder: coordinator.folder, token: coordinator.token });
  t.same(await again.call<Retention>('GET /v1/retention'), wanted);
});

t.test('an upload of what is there already makes it young again', async (t) => {
  const coordinator = await runCoordinator(t);
  const digest = await upload(coordinator, 'again');
  await setAge(join(coordinator.folder, 'content', digest), Date.now(), 400 * DAY);
  t.equal(await upload(coordinator, 'again'), digest);
  t.match(await coordinator.call<GarbageReport>('POST /v1/gc', { dryRun: true }), { items: [] });
});

t.test('10 imports of old files while garbage is collected: what was imported is there', async (t) => {
  const coordinator = await runCoordinator(t);
  const path = (digest: string): string => join(coordinator.folder, 'content', digest);
  const retention: Retention = { ...defaultRetention, artifactsBytes: 0 };
  t.equal((await coordinator.request('PUT /v1/retention', { body: retention })).status, 200);
  for (let round = 0; round < 10; round++) {
    const row = `{"prompt":"row ${round}","completion":"b"}\n`;
    const all = await upload(coordinator, row);
    const source = await upload(coordinator, `source ${round}`);
    for (const digest of [all, source]) await setAge(path(digest), Date.now(), 2 * YOUNG_MS);
    const [dataset, report] = await Promise.all([
      coordinator.request('POST /v1/datasets', { body: { name: `rows${round}`, files: { all } } }),
      coordinator.call<GarbageReport>('POST /v1/gc', { dryRun: false }),
    ]);
    t.ok(report.items.some(({ id }) => id === source));
    if (dataset.status === 201) {
      const { splits } = (await dataset.json()) as Dataset;
      const artifact = await coordinator.request(`GET /v1/artifacts/${splits.all?.digest}`);
      t.equal(await artifact.text(), row, `round ${round}: imported`);
    }
    // Collected first: the import says so, and nothing is half there.
    else t.match(await dataset.json(), { code: 'NOT_FOUND' }, `round ${round}: gone before`);
  }
});

t.test('fleetlora retention and gc, as a person sees them', async (t) => {
  const coordinator = await runCoordinator(t);
  const digest = await upload(coordinator, 'x'.repeat(1500));
  await setAge(join(coordinator.folder, 'content', digest), Date.parse('2020-01-31T12:00:00Z'), 0);
  const fleetlora = async (...args: string[]): Promise<string> => {
    const context = memoryContext();
    const where = ['--url', coordinator.url, '--token', coordinator.token];
    await createProgram(context).parseAsync([...args, ...where], { from: 'user' });
    return context.out();
  };
  t.equal(
    await fleetlora('retention', 'set', '--samples-days', '7', '--artifacts-size', '20GB', '--automatic'),
    [
      'raw samples           7 days',
      'ended searches        kept for ever',
      'checkpoints           30 days',
      'unnamed files         30 days',
      'size of stored files  20.00 GB at most',
      'deleted               once a day, by itself',
      '',
    ].join('\n'),
  );
  await fleetlora('retention', 'set', '--no-automatic', '--artifacts-size', 'none', '--searches-days', '365');
  t.same(JSON.parse(await fleetlora('retention', 'show', '--json')), {
    ...defaultRetention,
    samplesDays: 7,
    searchesDays: 365,
  });
  await t.rejects(fleetlora('retention', 'set'), coded('BAD_USAGE', 'nothing to change'));

  const shown = await fleetlora('gc');
  t.match(shown, /^kind +size +last used +what +why$/m);
  t.match(
    shown,
    new RegExp(
      `^artifact  2 KB  2020-01-31  ${digest.slice(0, 12)}: no record names it  unused for \\d+ days, kept 30 days$`,
      'm',
    ),
  );
  t.match(
    shown,
    /\n1 stored file: 2 KB\nstored files: 2 KB, of which 0 B are needed\nnothing was deleted yet: fleetlora gc --delete\n$/,
  );
  t.match(await fleetlora('gc', '--delete'), /\ndeleted\n$/);
  t.equal(await fleetlora('gc'), 'nothing is over its time\nstored files: 0 B, of which 0 B are needed\n');
});
