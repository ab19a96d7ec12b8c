import { type GeneratedRow, generateGreedy, generateRows, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import type { Genome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tinyGenomes } from '../lib/tiny-genomes.js';
import { createTinyModel, type TinyModel, tinyShape } from '../lib/tiny-model.js';

const runtime = createNodeRuntime();
const candidate = (model: TinyModel, genome: Genome | null) => ({
  ...model,
  overlay: genome && model.adapter,
  genome,
});
/** `count` prompts of 1 to `longest` random tokens. */
function randomPrompts(count: number, longest: number): number[][] {
  const random = createRandom(3);
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + random.below(longest) }, () => 1 + random.below(tinyShape.vocab - 1)),
  );
}

/** One prompt after the other through the decoder, which `graph-decode` tests against the scoring graph. */
async function oneByOne(
  model: TinyModel,
  genome: Genome | null,
  prompts: readonly number[][],
  limits: { maxTokens: number; stopIds: number[] },
): Promise<GeneratedRow[]> {
  const decoder = await openDecoder(runtime, candidate(model, genome), { threads: 1, positions: 32 });
  const rows: GeneratedRow[] = [];
  for (const prompt of prompts) {
    const ids: number[] = [];
    for await (const id of generateGreedy(decoder, prompt, limits)) ids.push(id);
    rows.push({ ids, end: ids.length === limits.maxTokens ? 'length' : 'stop' });
  }
  await decoder.close();
  return rows;
}

for (const [name, genome] of [['base', null], ...Object.entries(tinyGenomes)] as [string, Genome | null][]) {
  t.test(`${name}: 70 prompts of 1 to 20 tokens in batches answer as one by one`, async (t) => {
    const model = await createTinyModel(t.testdir());
    const prompts = randomPrompts(70, 20);
    // Several stop tokens, so that rows leave their batch at every step.
    const limits = { maxTokens: 12, stopIds: [0, 1, 2, 3, 4, 5, 6] };
    const wanted = await oneByOne(model, genome, prompts, limits);
    const found = await generateRows(runtime, candidate(model, genome), prompts, { ...limits, threads: 1 });
    t.same(found, wanted);
    const lengths = new Set(wanted.map(({ ids }) => ids.length));
    t.ok(lengths.size > 2, `answers of ${[...lengths].sort((a, b) => a - b)} tokens`);
    t.ok(wanted.some(({ end }) => end === 'stop'));
  });
}

t.test('answers of 1 token, no prompt, and prompts up to the model and over it', async (t) => {
  const model = await createTinyModel(t.testdir());
  const generate = (prompts: number[][], maxTokens: number) =>
    generateRows(runtime, candidate(model, null), prompts, { maxTokens, stopIds: [], threads: 1 });
  const prompt = (length: number): number[] => Array.from({ length }, (_, index) => 1 + (index % 40));
  t.same(await generate([], 4), []);
  const [one] = await generate([prompt(5)], 1);
  const [four] = await generate([prompt(5)], 4);
  t.same(one, { ids: four?.ids.slice(0, 1), end: 'length' });
  // 32 positions
  t.equal((await generate([prompt(28), prompt(1)], 4))[0]?.ids.length, 4);
  await t.rejects(generate([prompt(29)], 4), coded('BAD_REQUEST', 29, 4, 32));
  await t.rejects(generate([prompt(3), []], 4), coded('BAD_REQUEST', 'prompt of 0 tokens'));
});
