import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateGreedy, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import {
  type Adapter,
  type Base,
  type Dataset,
  type Front,
  isQualifyJob,
  type Release,
  type ReleaseManifest,
  type Search,
  type Upload,
} from '@fleetlora/shared/protocol';
import { decodeGenome, uniformGenome } from '@fleetlora/shared/space';
import { createTokenizer, type TextRow } from '@fleetlora/shared/text';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { measurement, searchStart } from '../lib/campaign-parts.js';
import { tinyAdapterFiles, tinyBaseFiles } from '../lib/open-models.js';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

const NEW_TOKENS = 8;
const SPLIT_ROWS = 10;
const promptsOf = (split: string): string[] =>
  Array.from({ length: SPLIT_ROWS }, (_, index) => `${split} question ${index}\nAnswer:`);

async function upload(coordinator: TestCoordinator, value: unknown): Promise<string> {
  const raw = value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
  const response = await coordinator.request('POST /v1/uploads', { raw });
  return ((await response.json()) as Upload).digest;
}
async function uploadAll(coordinator: TestCoordinator, files: Readonly<Record<string, unknown>>) {
  const digests: Record<string, string> = {};
  for (const [name, value] of Object.entries(files)) digests[name] = await upload(coordinator, value);
  return digests;
}

/** What the full network of the tiny super-adapter writes after each prompt: rows it has right. */
async function answerFully(folder: string, base: Base, adapter: Adapter, prompts: readonly string[]) {
  const open = async (fileName: string) => ({
    fileName,
    file: await readTensorFile(bufferSource(await readFile(join(folder, fileName)))),
  });
  const decoder = await openDecoder(
    createNodeRuntime(),
    {
      folder,
      base: await open(base.digest),
      overlay: await open(adapter.digest),
      genome: uniformGenome(2, 4, 8),
    },
    { threads: 1, positions: 64 },
  );
  const tokenizer = createTokenizer(tinyTokenizer());
  const rows: TextRow[] = [];
  for (const prompt of prompts) {
    const ids: number[] = [];
    const limits = { maxTokens: NEW_TOKENS, stopIds: [0] };
    for await (const id of generateGreedy(decoder, tokenizer.encode(prompt), limits)) ids.push(id);
    rows.push({ prompt, completion: tokenizer.decode(ids) });
  }
  await decoder.close();
  return rows;
}

/** A device that measures whatever it is sent, until the test ends. */
async function startDevice(t: Test, coordinator: TestCoordinator): Promise<void> {
  const device = await enrollTestDevice(coordinator);
  const connection = await device.connect();
  let over = false;
  t.teardown(async () => {
    over = true;
    await connection.end();
  });
  await connection.birth();
  const work = async (): Promise<void> => {
    while (!over) {
      const { body } = await connection.next('job');
      if (isQualifyJob(body)) continue;
      const genome = decodeGenome(body.genome);
      await connection.send('result', {
        jobId: body.jobId,
        outcome: 'measured',
        measurement: { ...measurement(1 + genome.layers.length, 5, genome), plan: body.plan },
      });
    }
  };
  void work();
}

t.test(
  'a search on generated answers: the full network writes what is expected on both splits, the others do not',
  async (t) => {
    const coordinator = await runCoordinator(t);
    const base = await coordinator.call<Base>('POST /v1/bases', {
      name: 'tiny',
      files: await uploadAll(coordinator, tinyBaseFiles()),
    });
    const adapter = await coordinator.call<Adapter>('POST /v1/adapters', {
      name: 'lora',
      base: 'tiny',
      files: await uploadAll(coordinator, tinyAdapterFiles()),
    });
    const files: Record<string, string> = {};
    for (const split of ['validation', 'test']) {
      const rows = await answerFully(join(coordinator.folder, 'content'), base, adapter, promptsOf(split));
      const lines = rows.map((row) => JSON.stringify(row)).join('\n');
      files[split] = await upload(coordinator, new TextEncoder().encode(lines));
    }
    const module = 'export const score = ({ expected, answer }) => answer.trim() === expected.trim();';
    const digest = await upload(coordinator, new TextEncoder().encode(module));
    const task = { kind: 'generation', maxNewTokens: NEW_TOKENS, scorer: { kind: 'module', digest } };
    await coordinator.call<Dataset>('POST /v1/datasets', { name: 'questions', files, task });
    await startDevice(t, coordinator);

    const { id } = await coordinator.call<Search>('POST /v1/searches', {
      ...searchStart({
        name: 'generated',
        adapter: 'lora',
        dataset: 'questions',
        trials: 6,
        scoreRows: SPLIT_ROWS,
        finalRows: SPLIT_ROWS,
        require: [],
      }),
    });
    let search: Search;
    do {
      await new Promise((resolve) => setTimeout(resolve, 50));
      search = await coordinator.call<Search>(`GET /v1/searches/${id}`);
    } while (search.state === 'running' || search.state === 'finalizing');
    t.match(search, { state: 'finished', reason: null, finishedTrials: 6 });

    const front = await coordinator.call<Front>(`GET /v1/searches/${id}/front`);
    const labelled = (label: string) => front.baselines.find((trial) => trial.label === label);
    t.match(labelled('max'), {
      score: { rows: 10, correct: 10, accuracy: 100 },
      finalScore: { rows: 10, correct: 10, accuracy: 100 },
    });
    t.match(labelled('maxMerged')?.score, { correct: 10 }, 'scored by the same slices');
    // Its package holds sums in half precision: a near tie may go the other way.
    const merged = labelled('maxMerged')?.finalScore;
    t.ok((merged?.correct ?? 0) >= 7, `merged has ${merged?.correct} of 10 right`);
    const least = labelled('min')?.finalScore;
    t.ok((least?.correct ?? 10) < 5, `min has ${least?.correct} of 10 right`);
    t.ok(front.points.every(({ finalScore }) => finalScore?.answersCut !== undefined));
    t.notOk(front.notices.some((notice) => notice.includes('tell them apart')));

    const release = await coordinator.call<Release>('POST /v1/releases', { name: 'r', search: 'generated' });
    const manifest = JSON.parse(release.signed.manifest) as ReleaseManifest;
    t.equal(manifest.golden.length, 4);
    t.ok(
      manifest.golden.every(({ text }) => promptsOf('validation').includes(text)),
      'golden prompts come from the split that candidates were compared on',
    );
  },
);
