import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeRandomModel } from '@fleetlora/bench/lib/random-hf-model';
import { createProgram } from '@fleetlora/coordinator/cli';
import { readBaseLayout } from '@fleetlora/shared/graph';
import { openFileSource } from '@fleetlora/shared/node';
import type {
  ApiError,
  Base,
  BaseFiles,
  CompletionResponse,
  Device,
  Front,
  Release,
  ReleaseManifest,
  Rollout,
  Search,
  SearchStart,
  Trial,
} from '@fleetlora/shared/protocol';
import { decodeGenome, type Precision, type SearchSpaceFile } from '@fleetlora/shared/space';
import { readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { memoryContext } from '../lib/memory-context.js';
import { until } from '../lib/old-folders.js';
import { runCoordinator, temporaryFolder } from '../lib/running-coordinator.js';
import { openHostAgent } from '../lib/tiny-coordinator.js';

t.setTimeout(120_000);

/** Of the random model's 4 layers and 4 key/value heads; its 96 channels are whole blocks only all together. */
const space: SearchSpaceFile = {
  version: 1,
  name: 'every precision',
  rankMax: 8,
  alpha: 16,
  ranks: { qkv: [2, 8], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  widthPercents: [100],
  precisions: ['fp32', 'q8', 'q4'],
  kvHeads: [2, 4],
  skippable: [1, 2],
  forms: ['unmerged'],
};
const start: SearchStart = {
  name: 'all',
  adapter: 'adapter',
  dataset: 'rows',
  deviceClass: 'board',
  strategy: 'random',
  quality: 'loss',
  costs: ['decodeMs'],
  trials: 6,
  seed: 1,
  scoreRows: 4,
  finalRows: 4,
  finalPoints: 1,
  require: [],
  space,
  plan: { promptTokens: 8, kvTokens: 8, prefillRepeats: 2, decodeRepeats: 4, threads: 1, sessions: 1 },
  maxTokens: 16,
  // Turns with the sentinel take most of a small measurement; a test of the agent has them.
  besideSentinel: false,
};
const precisionOf = ({ genome }: { readonly genome: string }): Precision =>
  decodeGenome(genome).precision ?? 'fp32';

t.test(
  'import, quantise to q8 and q4, search over precisions, heads and layers, release and serve one in q4',
  async (t) => {
    const coordinator = await runCoordinator(t);
    const { call, request, url, token } = coordinator;
    const fleetlora = async (...args: string[]): Promise<string> => {
      const context = memoryContext();
      const program = createProgram(context);
      await program.parseAsync([...args, '--url', url, '--token', token], { from: 'user' });
      return context.out();
    };
    const folder = await temporaryFolder(t);
    const paths = await writeRandomModel(folder, 'llama3');
    const rows = Array.from({ length: 8 }, (_, row) => `{"prompt":"${row}?","completion":" ${row}"}`);
    await writeFile(join(folder, 'rows.jsonl'), rows.join('\n'));
    t.match(await fleetlora('base', 'import', paths.base), /weight files +fp32 [\d.]+ [KM]B\n/);
    await fleetlora('adapter', 'import', paths.adapter, '--base', 'base');
    await fleetlora('dataset', 'import', join(folder, 'rows.jsonl'));

    // What the refusal says is typed, twice.
    const commands: string[] = [];
    for (;;) {
      const response = await request('POST /v1/searches', { body: start });
      if (response.ok) break;
      const { code, message } = (await response.json()) as ApiError;
      const [, command] = /fleetlora (base quantise base --precision q\d)$/.exec(message) ?? [];
      t.equal(code, 'SPACE_INVALID');
      if (command === undefined || commands.includes(command)) throw new Error(message);
      commands.push(command);
      t.match(await fleetlora(...command.split(' ')), new RegExp(`${command.slice(-2)} [\\d.]+ KB`));
    }
    t.equal(commands.length, 2);
    const [base] = await call<Base[]>('GET /v1/bases');
    const { fp32, q8, q4 }: Partial<BaseFiles> = base?.files ?? {};
    if (!base || !fp32 || !q8 || !q4) throw new Error('a file is missing');
    t.match(base, { kvHeads: 4, digest: fp32.digest, bytes: fp32.bytes });
    t.ok(q4.bytes < q8.bytes && q8.bytes < fp32.bytes);
    for (const [precision, { digest, bytes }] of Object.entries({ q8, q4 })) {
      const source = await openFileSource(join(coordinator.folder, 'content', digest));
      const layout = readBaseLayout(await readTensorFile(source));
      t.match(layout, { precision, sourceBaseDigest: base.digest, ffnChunks: [64, 32] });
      t.equal(source.size, bytes);
      await source.close();
    }
    t.same(
      await call<Base>('POST /v1/bases/base/quantise', { precision: 'q4' }),
      base,
      'what is there already is not made again',
    );
    t.match(await fleetlora('base', 'list'), /fp32 [\d.]+ [KM]B, q8 [\d.]+ KB, q4 [\d.]+ KB/);

    await openHostAgent(t, coordinator, 'one');
    const search = await until(
      () => call<Search>('GET /v1/searches/all'),
      ({ state }) => state !== 'running' && state !== 'finalizing',
    );
    t.match(search, { state: 'finished', reason: null, finishedTrials: 6 });
    const trials = await call<Trial[]>('GET /v1/searches/all/trials');
    for (const precision of ['fp32', 'q8', 'q4'] as const) {
      const measured = trials.filter((trial) => precisionOf(trial) === precision && trial.measurement);
      t.ok(measured.length > 0, `${measured.length} in ${precision}`);
      for (const { score } of measured) t.ok(Number.isFinite(score?.loss));
    }
    const [sentinel] = new Set(trials.map(({ correction }) => correction?.sentinelJobId));
    t.ok(sentinel, 'the sentinel, which is in q4, ran on the device as well');
    const front = await call<Front>('GET /v1/searches/all/front');
    const min = front.baselines.find(({ label }) => label === 'min');
    t.match(min, { genome: /^g2:u:q4:2\.2\.2\.2\.96\.2\/-\/-\/2\.2\.2\.2\.96\.2$/, finalScore: { rows: 4 } });
    const table = await fleetlora('search', 'front', 'all');
    t.match(table, / q4, r 2, w 96, kv 2, without layers 1, 2(\n|$)/);
    t.match(table, / r 8, w 96(\n|$)/);

    const release = await call<Release>('POST /v1/releases', { name: 'small', search: 'all', trial: 'min' });
    const manifest = JSON.parse(release.signed.manifest) as ReleaseManifest;
    t.match(manifest, { genome: min?.genome, baseDigest: q4.digest });
    const { id } = await call<Rollout>('POST /v1/rollouts', { release: 'small', deviceClass: 'board' });
    const rollout = await until(
      () => call<Rollout>(`GET /v1/rollouts/${id}`),
      ({ state }) => state !== 'running',
    );
    t.match(rollout, { state: 'succeeded' }, JSON.stringify(rollout));
    const [device] = await until(
      () => call<Device[]>('GET /v1/devices'),
      ([first]) => first?.installedReleaseId === release.id,
    );
    const [golden] = manifest.golden;
    const answer = await fetch(`${device?.serveUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: golden?.text, max_tokens: 4, temperature: 0 }),
    });
    t.match((await answer.json()) as CompletionResponse, {
      model: 'small',
      usage: { completion_tokens: Math.min(4, golden?.expectedIds.length ?? 0) },
    });

    // Nothing of it is garbage.
    const kept = await fleetlora('gc', '--json');
    for (const { digest } of [fp32, q8, q4]) t.notMatch(kept, digest);
  },
);
