import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '@fleetlora/shared/errors';
import { createNodeRuntime } from '@fleetlora/shared/node';
import {
  comparePython,
  type ExportCase,
  llamaGreedy,
  ownGreedy,
  transformersGreedy,
} from './figures/export-figures.js';
import {
  type CandidateName,
  candidateNames,
  type ExportGround,
  exportCandidates,
  openGround,
  openRandomGround,
  randomPrompts,
} from './figures/export-grounds.js';
import { atLeast, atMost, type Bench, type Check, holds, skip } from './lib/bench.js';
import { type RandomModel, randomWindow } from './lib/random-hf-model.js';
import { checkout, findReference } from './lib/reference.js';

const TOKENS = 24;
const texts = ['The meaning of the word', 'Query: my card has not arrived\nIntent:', 'Once there was a'];
/** Tokens of a random model's prompts, and of the longer row whose logits are compared too. */
const [PROMPT, LONG] = [8, 40];

/** What a peer answered, or why it could not be asked. */
type Asked<T> = { readonly answer: T } | { readonly missing: string };

/** A model and what is exported of it. */
interface Subject {
  readonly name: string;
  readonly ground: ExportGround;
  readonly candidates: readonly CandidateName[];
  readonly prompts: readonly (readonly number[])[];
  /** Rows whose logits transformers is asked for. */
  readonly rows: readonly (readonly number[])[];
  /** Tokens that llama.cpp writes: it knows no window, so a windowed model's text ends before it slides. */
  readonly llamaTokens: number;
}

/** What of the random models is exported: adapters over the original model, over a cut one, and merged. */
const randomCases: readonly [RandomModel, readonly CandidateName[]][] = [
  ['qwen2', ['mixed', 'unequal', 'merged']],
  ['mistral', ['mixed', 'unequal', 'merged']],
  ['llama3', ['unequal']],
  ['yarn', ['unequal']],
];

/**
 * Exports of candidates, run by the tools that they are made for: stock transformers and peft,
 * llama.cpp, transformers.js.
 */
export const exportsProof: Bench = {
  name: 'proof:exports',
  summary: 'exported candidates against transformers + peft, llama.cpp and transformers.js',
  options: {
    base: 'Hugging Face folder of the model (deploy/demo/base)',
    adapter: 'PEFT folder of its super-adapter (deploy/demo/adapter, else that of the reference folder)',
  },
  async run({ quick, options, workFolder, say }) {
    const model = options.base ?? join(checkout, 'deploy', 'demo', 'base');
    const own = join(checkout, 'deploy', 'demo', 'adapter');
    const adapter =
      options.adapter ?? (existsSync(own) ? own : findReference('models', 'banking77-super-adapter'));
    if (adapter === null) return skip('no super-adapter: name one with --adapter');
    const checks: Check[] = [];
    const table: string[][] = [];
    const figures: Record<string, Record<string, number | boolean | string>> = {
      peft: {},
      llamaCpp: {},
      transformersJs: {},
    };
    const note = (peer: string, name: string, asked: Asked<number | boolean>): void => {
      const value = 'answer' in asked ? asked.answer : `not asked: ${asked.missing}`;
      (figures[peer] as Record<string, number | boolean | string>)[name] = value;
      table.push([peer, name, typeof value === 'number' ? value.toExponential(1) : String(value)]);
      if (typeof value === 'number') checks.push(atMost(`${peer}, ${name}: logits`, value, 2e-3));
      else if (typeof value === 'boolean') checks.push(holds(`${peer}, ${name}: greedy tokens`, value));
    };
    const runtime = createNodeRuntime();
    const subjects: Subject[] = [
      textSubject(await openGround(runtime, { model, adapter, work: join(workFolder, 'demo') }), quick),
    ];
    for (const [name, candidates] of quick ? randomCases.slice(0, 2) : randomCases) {
      const ground = await openRandomGround(runtime, name, join(workFolder, name));
      subjects.push(randomSubject(name, ground, quick ? candidates.slice(1, 2) : candidates));
    }
    for (const { name: of, ground, candidates, prompts, rows, llamaTokens } of subjects)
      for (const key of candidates) {
        const genome = exportCandidates(ground)[key];
        const name = `${of}${candidateNames[key]}`;
        const one: ExportCase = { name, genome, rows: prompts };
        say(`exporting ${name}`);
        const kind = genome.form === 'unmerged' ? 'peft' : 'hf';
        const asTexts = { ...one, rows };
        note('peft', name, await ask(() => comparePython(ground, asTexts, kind, `python-${key}`)));
        const wanted = await ownGreedy(ground, one, TOKENS);
        const agree = async (answer: Promise<number[][]>, tokens: number): Promise<boolean> =>
          JSON.stringify(await answer) === JSON.stringify(wanted.map((ids) => ids.slice(0, tokens)));
        const byLlama = (dtype: 'f32' | 'f16') =>
          ask(() => agree(llamaGreedy(ground, one, llamaTokens, `gguf-${dtype}-${key}`, dtype), llamaTokens));
        note('llamaCpp', name, await byLlama('f32'));
        // The weights are halves; merged ones are not any more.
        if (of !== '' && key === 'unequal') note('llamaCpp', `${name}, f16`, await byLlama('f16'));
        note(
          'transformersJs',
          name,
          await ask(() => agree(transformersGreedy(ground, one, TOKENS, `onnx-${key}`), TOKENS)),
        );
      }
    checks.push(atLeast('comparisons', checks.length, 1));
    return {
      figures,
      table: { columns: ['tool', 'candidate', 'largest difference, or equal tokens'], rows: table },
      checks,
    };
  },
};

/** The model that was named, asked in words. */
function textSubject(ground: ExportGround, quick: boolean): Subject {
  const prompts = texts.slice(0, quick ? 2 : 3).map((text) => ground.prepared.tokenizer.encode(text));
  const all = Object.keys(candidateNames) as CandidateName[];
  return {
    name: '',
    ground,
    candidates: quick ? all.slice(0, 3) : all,
    prompts,
    rows: prompts,
    llamaTokens: TOKENS,
  };
}

function randomSubject(
  name: RandomModel,
  ground: ExportGround,
  candidates: readonly CandidateName[],
): Subject {
  const { vocab } = ground.prepared.shape;
  const prompts = randomPrompts(vocab, 2, PROMPT);
  return {
    name: `random ${name}, `,
    ground,
    candidates,
    prompts,
    rows: [...prompts, ...randomPrompts(vocab, 1, LONG)],
    llamaTokens: name === 'mistral' ? randomWindow - PROMPT : TOKENS,
  };
}

/** A peer that cannot be installed is no failure of an export; one that ends with an error is. */
async function ask<T>(run: () => Promise<T>): Promise<Asked<T>> {
  try {
    return { answer: await run() };
  } catch (error) {
    const message = messageOf(error);
    if (/^(npm|python3) |\/python -m:/.test(message)) return { missing: message };
    throw error;
  }
}
