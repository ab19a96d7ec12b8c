import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createEvaluation, type RowSet } from '@fleetlora/coordinator/evaluation';
import { type CandidateModel, generateGreedy, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { DatasetTask } from '@fleetlora/shared/protocol';
import { decodeGenome } from '@fleetlora/shared/space';
import { createTokenizer, type TextRow } from '@fleetlora/shared/text';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { digestOf, layTinyModel } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

/** Two candidates of the super-adapter, of other shapes and ranks. */
const GENOME = 'g1:u:4.2.4.1.6/1.4.0.2.8';
const OTHER = 'g1:u:0.0.0.0.4/0.0.0.0.4';
const merged = (genome: string): string => genome.replace('g1:u', 'g1:m');
const PROMPTS = Array.from({ length: 10 }, (_, index) => `${'why '.repeat(1 + (index % 5))}${index}?`);
const NEW_TOKENS = 12;

/**
 * The tiny model, and what the first candidate writes after each prompt: so these are its right
 * answers, known from the decoder one prompt at a time.
 */
async function prepare(test: Test) {
  const contentFolder = await tempFolder(test);
  const put = async (bytes: Uint8Array | string): Promise<string> => {
    const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
    await writeFile(join(contentFolder, digestOf(data)), data);
    return digestOf(data);
  };
  const laid = await layTinyModel();
  for (const bytes of [laid.base, laid.adapter, laid.tokenizer]) await put(bytes);
  const open = async (bytes: Uint8Array, fileName: string) => ({
    fileName,
    file: await readTensorFile(bufferSource(bytes)),
  });
  const model: CandidateModel = {
    folder: contentFolder,
    base: await open(laid.base, laid.baseDigest),
    overlay: await open(laid.adapter, laid.adapterDigest),
    genome: decodeGenome(GENOME),
  };
  const tokenizer = createTokenizer(tinyTokenizer());
  const decoder = await openDecoder(createNodeRuntime(), model, { threads: 1, positions: 64 });
  const written: string[] = [];
  /** Whether it had not ended after all its tokens. */
  const cut: boolean[] = [];
  for (const prompt of PROMPTS) {
    const ids: number[] = [];
    const limits = { maxTokens: NEW_TOKENS, stopIds: [0] };
    for await (const id of generateGreedy(decoder, tokenizer.encode(prompt), limits)) ids.push(id);
    written.push(tokenizer.decode(ids));
    cut.push(ids.length === NEW_TOKENS);
  }
  await decoder.close();
  const evaluation = createEvaluation({ contentFolder });
  test.teardown(() => evaluation.close());
  const { baseDigest, adapterDigest, tokenizerDigest } = laid;
  /** A request for these rows under this task. */
  const request = async (rows: readonly TextRow[], task: DatasetTask, change: Partial<RowSet> = {}) => ({
    baseDigest,
    adapterDigest,
    genome: GENOME,
    rows: {
      datasetDigest: await put(rows.map((row) => JSON.stringify(row)).join('\n')),
      tokenizerDigest,
      maxTokens: 64,
      seed: null,
      skip: 0,
      take: rows.length,
      task,
      ...change,
    },
  });
  return { contentFolder, evaluation, put, request, written, cut };
}
type Scorer = Extract<DatasetTask, { kind: 'generation' }>['scorer'];
const generation = (scorer: Scorer, maxNewTokens = NEW_TOKENS): DatasetTask => ({
  kind: 'generation',
  maxNewTokens,
  scorer,
});
const exact = generation({ kind: 'exactMatch' });
const verdicts = (scores: readonly { readonly correct: boolean }[]): boolean[] =>
  scores.map(({ correct }) => correct);

t.test(
  '10 answers of up to 12 tokens: right exactly where the candidate writes the expected text',
  async (t) => {
    const { contentFolder, evaluation, request, written, cut } = await prepare(t);
    // Every other row expects something else.
    const rows = PROMPTS.map((prompt, row) => ({
      prompt,
      completion: row % 2 === 0 ? (written[row] as string) : 'something else',
    }));
    const wanted = rows.map((_, row) => row % 2 === 0);
    const scores = await evaluation.score(await request(rows, exact));
    t.same(verdicts(scores), wanted);
    t.same(
      scores.map((score) => score.cut),
      cut,
      'cut where all tokens were used',
    );

    const plain = await evaluation.score(await request(rows, { kind: 'completion' }));
    t.same(
      scores.map(({ nll, targets }) => [nll, targets]),
      plain.map(({ nll, targets }) => [nll, targets]),
      'the loss is that of the expected text',
    );
    t.ok(plain.every((score) => score.cut === undefined));

    const before = await readdir(contentFolder);
    const packed = { ...(await request(rows, exact)), numbers: 'package' as const };
    t.same(verdicts(await evaluation.score(packed)), wanted, 'as a package, unmerged');
    // Merged matrices are rounded to half precision: a near tie may go the other way.
    const rounded = verdicts(await evaluation.score({ ...packed, genome: merged(GENOME) }));
    t.ok(rounded.every((right, row) => !right || wanted[row]));
    t.ok(rounded.filter(Boolean).length >= 3, 'as a package, merged');
    t.same(
      verdicts(await evaluation.score({ ...(await request(rows, exact)), genome: merged(GENOME) })),
      wanted,
      'merged, by its slices',
    );
    t.same(await readdir(contentFolder), before, 'the expanded packages are gone');
    const other = await evaluation.score({ ...(await request(rows, exact)), genome: OTHER });
    t.ok(verdicts(other).filter(Boolean).length < 5, 'another candidate writes something else');
  },
);

t.test('a shuffled part of the rows keeps prompts, expected texts and answers together', async (t) => {
  const { evaluation, request, written } = await prepare(t);
  const rows = PROMPTS.map((prompt, row) => ({ prompt, completion: written[row] as string }));
  const part = await request(rows, exact, { seed: 4, skip: 3, take: 5 });
  t.same(verdicts(await evaluation.score(part)), Array(5).fill(true));
});

t.test('regex and module scorers judge what was written', async (t) => {
  const { evaluation, put, request, written } = await prepare(t);
  const first = [...(written[0] as string)][0] as string;
  const rows = PROMPTS.map((prompt) => ({ prompt, completion: first }));
  // The last character of each text is its answer.
  const lastOf = (text: string): string => [...text].filter((c) => !/[\s,.]/u.test(c)).at(-1) ?? '';
  t.same(
    verdicts(await evaluation.score(await request(rows, generation({ kind: 'regex', pattern: '[^\\s,.]' })))),
    written.map((text) => lastOf(text) === first),
  );
  const digest = await put(
    `export const score = async ({ prompt, expected, answer }) => prompt.endsWith('3?') || answer.startsWith(expected);`,
  );
  t.same(
    verdicts(await evaluation.score(await request(rows, generation({ kind: 'module', digest })))),
    written.map((text, row) => row === 3 || text.startsWith(first)),
  );
  await t.rejects(
    evaluation.score(await request(rows, generation({ kind: 'module', digest: 'f'.repeat(64) }))),
    coded('NOT_FOUND', 'f'.repeat(64)),
  );
  const broken = await put('export const score = () => 1;');
  await t.rejects(
    evaluation.score(await request(rows, generation({ kind: 'module', digest: broken }))),
    coded('SCORER_INVALID', 'returned 1', 'wanted true or false'),
  );
});

t.test('64 positions: answers of 63 tokens leave one for the prompt, answers of 64 none', async (t) => {
  const { evaluation, request } = await prepare(t);
  const rows = [{ prompt: 'abc', completion: 'x' }];
  const most = await request(rows, generation({ kind: 'exactMatch' }, 63));
  t.equal((await evaluation.score(most)).length, 1);
  const over = await request(rows, generation({ kind: 'exactMatch' }, 64));
  await t.rejects(evaluation.score(over), coded('BAD_REQUEST', 'up to 64 new tokens', '64 positions'));
});

t.test('rows of more tokens than the model has positions are cut at their start', async (t) => {
  const { evaluation, request } = await prepare(t);
  const rows = [{ prompt: 'p'.repeat(100), completion: 'x' }];
  const long = await request(rows, { kind: 'completion' }, { maxTokens: 8192 });
  const short = await request([{ prompt: 'p'.repeat(62), completion: 'x' }], { kind: 'completion' });
  t.same(await evaluation.score(long), await evaluation.score(short));
});
