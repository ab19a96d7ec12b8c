import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Adapter, ScopedPolicy, Training, Upload } from '@fleetlora/shared/protocol';
import { KiB, MiB } from '@fleetlora/shared/units';
import type { Answer, DiskGround, DiskPlace } from './disk-ground.js';
import { tinyConfig, tinyModelFile, tinyTokenizer } from './tiny-llama.js';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Every place in which the coordinator writes. */
export async function coordinatorPlaces(ground: DiskGround): Promise<DiskPlace[]> {
  const upload = randomBytes(3 * MiB);
  const rows = Array.from({ length: 6000 }, (_, row) => ({
    prompt: `${row} and again ${row}?`,
    completion: ' 1',
  }));
  const rowsDigest = await store(
    ground,
    new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join('\n')),
  );
  const files = {
    'config.json': await store(ground, json(tinyConfig)),
    'tokenizer.json': await store(ground, json(tinyTokenizer())),
    // Other weights than those of the base that is there: its file is not.
    'model.safetensors': await store(ground, tinyModelFile('F32', 2)),
  };
  return [
    await refused(ground, 'upload, its length told', 1 * MiB, () =>
      ground.ask('POST /v1/uploads', { bytes: upload, announced: true }),
    ),
    await refused(ground, 'upload, as a stream', 1 * MiB, () =>
      ground.ask('POST /v1/uploads', { bytes: upload.subarray(1) }),
    ),
    await typed(ground, rows),
    await refused(ground, 'data set import', 100 * KiB, () =>
      ground.ask('POST /v1/datasets', {
        body: {
          name: 'many',
          files: { all: rowsDigest },
          split: { train: 80, validation: 10, test: 10, seed: 1 },
        },
      }),
    ),
    await refused(ground, 'base import', 16 * KiB, () =>
      ground.ask('POST /v1/bases', { body: { name: 'other', files } }),
    ),
    await checkpoint(ground),
    await database(ground),
  ];
}

async function store(ground: DiskGround, bytes: Uint8Array): Promise<string> {
  const { body } = await ground.ask('POST /v1/uploads', { bytes, announced: true });
  return (body as Upload).digest;
}

/** A request that does not fit into `freeBytes`, and the same once it does. */
export async function refused(
  ground: DiskGround,
  place: string,
  freeBytes: number,
  request: () => Promise<Answer>,
): Promise<DiskPlace> {
  const disk = ground.disks.coordinator;
  const before = await ground.files('coordinator');
  await disk.fill(freeBytes);
  const answer = await request();
  const reason = await ground.complaint('coordinator');
  const left = await ground.halfWritten('coordinator', before);
  await disk.empty();
  const again = await ground.until(request, ({ status }) => status < 500);
  return {
    place,
    error: refusalOf(answer, reason),
    left,
    wentOn: again?.status === 201 ? 'the same request' : null,
    trouble: JSON.stringify({ answer, again }).slice(0, 300),
  };
}

/** Status and log of a request that was refused as it should be. */
const refusalOf = ({ status, body }: Answer, reason: string | null): string | null =>
  status === 507 && body.code === 'DISK_FULL' && reason !== null ? `507 ${reason}` : null;

/** What a person reads who types a command. */
async function typed(ground: DiskGround, rows: readonly object[]): Promise<DiskPlace> {
  const { fleet, disks, workFolder } = ground;
  const file = join(workFolder, 'typed.jsonl');
  await writeFile(file, rows.map((row) => JSON.stringify({ ...row, completion: ' 2' })).join('\n'));
  const command = (): Promise<string | null> =>
    fleet.command(['dataset', 'import', file]).then(
      () => null,
      (error: Error) => error.message,
    );
  const before = await ground.files('coordinator');
  await disks.coordinator.fill(100 * KiB);
  const said = (await command()) ?? '';
  await ground.complaint('coordinator');
  const left = await ground.halfWritten('coordinator', before);
  await disks.coordinator.empty();
  const again = await ground.until(command, (failure) => failure === null || !failure.includes('DISK_FULL'));
  return {
    place: 'upload by a command',
    error: /DISK_FULL.*/.exec(said)?.[0] ?? null,
    left,
    wentOn: again === null ? 'the same command' : null,
    trouble: `${said} ${again}`,
  };
}

/** A training whose checkpoint does not fit, beside one that nothing happens to. */
async function checkpoint(ground: DiskGround): Promise<DiskPlace> {
  const { fleet, models, disks } = ground;
  const show = (name: string): Promise<Training> => fleet.call<Training>(`GET /v1/trainings/${name}`);
  const start = (name: string): Promise<Training> =>
    fleet.call<Training>('POST /v1/trainings', {
      name,
      base: models.base,
      dataset: models.dataset,
      space: models.space,
      options: { ...models.training, steps: 200, checkpointEverySteps: 10 },
    });
  await start('disturbed');
  await ground.until(
    () => show('disturbed'),
    ({ step }) => step >= 20,
  );
  const before = await ground.files('coordinator');
  await disks.coordinator.fill();
  // The database may find no space either; it is waited for the one that is asked about.
  const reason = await ground.complaint('coordinator', 'checkpoint');
  const left = await ground.halfWritten('coordinator', before);
  await disks.coordinator.empty();
  const ended = await ground.until(
    () => show('disturbed'),
    ({ state }) => state !== 'running',
  );
  await start('undisturbed');
  await ground.until(
    () => show('undisturbed'),
    ({ state }) => state !== 'running',
  );
  const adapters = await fleet.call<Adapter[]>('GET /v1/adapters');
  const [one, other] = ['disturbed', 'undisturbed'].map((name) =>
    adapters.find((adapter) => adapter.name === name),
  );
  const same = ended?.state === 'finished' && one !== undefined && one.digest === other?.digest;
  return {
    place: 'training checkpoint',
    error: reason,
    left,
    wentOn: same ? 'to the same adapter, byte for byte' : null,
  };
}

/** Rows written until the disk is full, the coordinator killed as it waits, and all of them looked for. */
async function database(ground: DiskGround): Promise<DiskPlace> {
  const { fleet, disks } = ground;
  const write = (row: number): Promise<Answer> =>
    ground.ask('PUT /v1/policies', {
      body: { scope: { kind: 'label', name: `label-${row}` }, policy: { maxTemperatureC: 60 } },
    });
  const list = (): Promise<ScopedPolicy[]> => fleet.call<ScopedPolicy[]>('GET /v1/policies');
  const before = await ground.files('coordinator');
  // Room for some rows: those that are acknowledged before there is none.
  await disks.coordinator.fill(96 * KiB);
  const acknowledged: string[] = [];
  let answer = await write(0);
  for (let row = 1; answer.status < 500 && row < 1000; row++) {
    acknowledged.push(`label-${row - 1}`);
    answer = await write(row);
  }
  const reason = await ground.complaint('coordinator');
  const { body: health } = await ground.ask('GET /v1/health');
  const left = await ground.halfWritten('coordinator', before);
  await disks.coordinator.empty();
  const again = await ground.until(
    () => write(1000),
    ({ status }) => status < 500,
  );
  await disks.coordinator.fill();
  await ground.until(
    () => write(1001),
    ({ status }) => status >= 500,
  );
  await fleet.kill('coordinator');
  await disks.coordinator.empty();
  await fleet.start('coordinator');
  const names = new Set((await list()).map(({ scope }) => scope.name));
  acknowledged.push('label-1000');
  const found = acknowledged.filter((name) => names.has(name)).length;
  return {
    place: 'database write',
    error: health.store === 'unavailable' ? refusalOf(answer, reason) : null,
    left,
    trouble: `${found} of ${acknowledged.length} acknowledged rows`,
    wentOn:
      again !== null && again.status < 300 && found === acknowledged.length
        ? `the same request; after kill -9 while it waited, ${found} of ${acknowledged.length} acknowledged rows are there`
        : null,
  };
}
