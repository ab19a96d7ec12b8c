import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createEvaluation, type RowSet } from '@fleetlora/coordinator/evaluation';
import { openScorer } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { decodeGenome } from '@fleetlora/shared/space';
import { createTokenizer, encodeRow } from '@fleetlora/shared/text';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { digestOf, layTinyModel } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

const GENOME = 'g1:u:4.2.4.1.6/1.4.0.2.8';
const MAX_TOKENS = 24;
const rows = Array.from({ length: 12 }, (_, index) => ({
  prompt: `${'prompt '.repeat(1 + (index % 3))}${index}`,
  completion: `${'x'.repeat(1 + (index % 4))}`,
}));

async function prepare(test: Test) {
  const contentFolder = await tempFolder(test);
  const model = await layTinyModel();
  const data = new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join('\n'));
  const put = async (bytes: Uint8Array): Promise<string> => {
    await writeFile(join(contentFolder, digestOf(bytes)), bytes);
    return digestOf(bytes);
  };
  for (const bytes of [model.base, model.adapter, model.tokenizer]) await put(bytes);
  const rowSet: RowSet = {
    datasetDigest: await put(data),
    tokenizerDigest: model.tokenizerDigest,
    maxTokens: MAX_TOKENS,
    seed: null,
    skip: 0,
    take: rows.length,
    task: { kind: 'completion' },
  };
  const open = async (bytes: Uint8Array, fileName: string) => ({
    fileName,
    file: await readTensorFile(bufferSource(bytes)),
  });
  const base = await open(model.base, model.baseDigest);
  const adapter = await open(model.adapter, model.adapterDigest);
  const { baseDigest, adapterDigest } = model;
  return {
    contentFolder,
    put,
    rowSet,
    base,
    adapter,
    request: { baseDigest, adapterDigest, genome: GENOME, rows: rowSet },
  };
}

t.test('rows named by a set score as rows encoded here and scored directly, in their order', async (t) => {
  const { contentFolder, request, base, adapter } = await prepare(t);
  const evaluation = createEvaluation({ contentFolder });
  t.teardown(() => evaluation.close());
  const scorer = await openScorer(createNodeRuntime(), { folder: contentFolder, base, adapter, threads: 1 });
  t.teardown(() => scorer.close());
  const tokenizer = createTokenizer(tinyTokenizer());
  const encoded = rows.map((row) => encodeRow(tokenizer, row, { stopId: 0, maxTokens: MAX_TOKENS }));
  const wanted = await scorer.score(decodeGenome(GENOME), encoded);
  t.equal(wanted.length, 12);
  t.same(await evaluation.score(request), wanted);
  t.same(await evaluation.score({ ...request, genome: GENOME.replace('g1:u', 'g1:m') }), wanted, 'merged');
  t.same(await evaluation.score({ ...request, rows: encoded }), wanted, 'rows that were carried');
  t.same(
    await evaluation.score({ ...request, rows: { ...request.rows, skip: 3, take: 2 } }),
    wanted.slice(3, 5),
  );
});

t.test('a seed shuffles: two halves are disjoint and together all rows', async (t) => {
  const { contentFolder, request } = await prepare(t);
  const evaluation = createEvaluation({ contentFolder });
  t.teardown(() => evaluation.close());
  const score = async (seed: number | null, skip: number, take: number) =>
    (await evaluation.score({ ...request, rows: { ...request.rows, seed, skip, take } })).map(({ nll }) =>
      nll.toFixed(3),
    );
  const inOrder = await score(null, 0, 12);
  const halves = [...(await score(4, 0, 6)), ...(await score(4, 6, 6))];
  t.notSame(halves, inOrder);
  t.same([...halves].sort(), [...inOrder].sort());
  t.same(await score(4, 0, 12), halves, 'the same seed again');
});

t.test('a package of fp16 factors scores as the slices, merged matrices lose a little in fp16', async (t) => {
  const { contentFolder, request } = await prepare(t);
  const evaluation = createEvaluation({ contentFolder });
  t.teardown(() => evaluation.close());
  const slices = await evaluation.score(request);
  const before = await readdir(contentFolder);
  for (const genome of [GENOME, GENOME.replace('g1:u', 'g1:m')]) {
    const scores = await evaluation.score({ ...request, genome, numbers: 'package' });
    const differences = scores.map(({ nll }, row) => Math.abs(nll - (slices[row]?.nll ?? 0)));
    const largest = Math.max(...differences);
    // The adapter's own factors are fp16 numbers; its sums with the base are not.
    if (genome.startsWith('g1:u')) t.equal(largest, 0);
    else t.ok(largest > 0 && largest < 0.1, `at most ${largest} nats`);
  }
  t.same(await readdir(contentFolder), before, 'the expanded packages are gone');
});

t.test('what is missing or does not fit is named', async (t) => {
  const { contentFolder, request } = await prepare(t);
  const evaluation = createEvaluation({ contentFolder });
  t.teardown(() => evaluation.close());
  const missing = 'f'.repeat(64);
  await t.rejects(evaluation.score({ ...request, adapterDigest: missing }), {
    code: 'NOT_FOUND',
    message: /ffff.* is not in the content folder/,
  });
  await t.rejects(evaluation.score({ ...request, genome: 'g1:x' }), { code: 'GENOME_MALFORMED' });
  const tooMany = { ...request.rows, skip: 10, take: 3 };
  await t.rejects(evaluation.score({ ...request, rows: tooMany }), {
    code: 'BAD_REQUEST',
    message: /has 12 rows, rows 10 to 12 were wanted/,
  });
  t.equal(
    (await evaluation.score({ ...request, rows: { ...tooMany, take: 2 } })).length,
    2,
    'the thread goes on',
  );
});

t.test('the event loop turns while a thread scores', async (t) => {
  const { contentFolder, request } = await prepare(t);
  const evaluation = createEvaluation({ contentFolder });
  t.teardown(() => evaluation.close());
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns++;
    if (!done) setImmediate(count);
  };
  count();
  await evaluation.score(request);
  done = true;
  t.ok(turns > 10, `${turns} turns`);
});

const standIn = new URL('../lib/children/evaluation-thread.js', import.meta.url);
const anything = { baseDigest: '', adapterDigest: '', rows: [] };

t.test('a thread that ends rejects its request only; the next gets a new thread', async (t) => {
  const evaluation = createEvaluation({ contentFolder: '', entry: standIn });
  t.teardown(() => evaluation.close());
  const results = await Promise.allSettled(
    ['a', 'exit', 'b', 'throw', 'c'].map((genome) => evaluation.score({ ...anything, genome })),
  );
  t.same(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  );
  t.match(results[1], {
    reason: {
      code: 'CHILD_FAILED',
      kind: 'unavailable',
      message: /ended with exit code 3 while it scored exit/,
    },
  });
  t.match(results[3], { reason: { code: 'CHILD_FAILED', message: /ended with "out of patience"/ } });
  // Each new thread counts from one.
  t.match(
    [results[0], results[2], results[4]],
    [1, 1, 1].map((nll) => ({ value: [{ nll }] })),
  );
});

t.test('requests are spread over 2 threads; close rejects what runs and what waits', async (t) => {
  const evaluation = createEvaluation({
    contentFolder: '',
    entry: standIn,
    workers: 2,
    stopPatienceMs: 1,
  });
  t.equal(evaluation.parallel, 2);
  const four = await Promise.all(
    ['a', 'b', 'c', 'd'].map((genome) => evaluation.score({ ...anything, genome })),
  );
  t.equal(Math.max(...four.map(([row]) => row?.nll ?? 0)) < 4, true, 'no thread answered all');
  const late = ['hang', 'hang', 'e'].map((genome) => evaluation.score({ ...anything, genome }));
  const closed = Promise.allSettled(late);
  await evaluation.close();
  for (const result of await closed)
    t.match(result, { status: 'rejected', reason: { code: 'CHILD_FAILED' } });
  await t.rejects(evaluation.score({ ...anything, genome: 'h' }), {
    code: 'CHILD_FAILED',
    message: /closed/,
  });
});

t.test('closing in the middle of native work ends the thread, not the process', async (t) => {
  const child = fork(new URL('../lib/children/close-while-scoring.js', import.meta.url), { stdio: 'pipe' });
  let said = '';
  child.stdout?.on('data', (chunk) => {
    said += chunk;
  });
  const [exitCode, signal] = await once(child, 'exit');
  t.same([exitCode, signal], [0, null]);
  t.equal(said, 'the work was stopped\n'.repeat(8));
});
