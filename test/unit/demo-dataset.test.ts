import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { checkout } from '../lib/reference.js';

interface Row {
  readonly prompt: string;
  readonly completion: string;
}
interface Builder {
  readonly lexicographerFiles: readonly string[];
  parseSynset(line: string): { gloss: string; category: string } | null;
  splitGlosses(
    files: readonly string[],
    split: { seed: number; train: number; test: number },
  ): { train: Row[]; test: Row[] };
}
const { lexicographerFiles, parseSynset, splitGlosses } = (await import(
  pathToFileURL(join(checkout, 'deploy', 'demo', 'build-dataset.mjs')).href
)) as Builder;

const synset = (file: string, gloss: string): string => `00001740 ${file} n 01 entity 0 000 | ${gloss}  `;

t.test('45 categories', async (t) => {
  t.equal(lexicographerFiles.length, 45);
  t.equal(new Set(lexicographerFiles).size, 45);
});

t.test('a synset line gives its gloss up to the first example, and its category', async (t) => {
  t.strictSame(parseSynset(synset('05', 'a dog; "the dog barked"; "dogs"')), {
    gloss: 'a dog',
    category: 'noun: animal',
  });
  t.strictSame(parseSynset(synset('43', 'rain; come down')), {
    gloss: 'rain; come down',
    category: 'verb: weather',
  });
  t.equal(parseSynset('  1 This software and database is being provided to you'), null, 'the licence');
  t.equal(parseSynset(synset('45', 'x')), null, 'no such lexicographer file');
  t.equal(parseSynset(synset('05', '; "only an example"')), null, 'an empty gloss');
});

t.test('a gloss is never in both parts, nor with two categories', async (t) => {
  const file = [
    synset('05', 'twice the same'),
    synset('05', 'Twice  the same; "with an example"'),
    synset('05', 'of two kinds'),
    synset('06', 'of two kinds'),
    synset('05', 'of two kinds'),
    ...Array.from({ length: 9 }, (_, index) => synset('18', `person ${index}`)),
  ].join('\n');
  // 15 lines: one gloss is kept once, one is left out, nine are alone.
  const { train, test } = splitGlosses([file], { seed: 3, train: 6, test: 4 });
  const prompts = [...train, ...test].map(({ prompt }) => prompt);
  t.equal(train.length, 6);
  t.equal(test.length, 4);
  t.equal(new Set(prompts).size, 10);
  t.ok(prompts.includes('Definition: twice the same\nCategory:'));
  t.notOk(prompts.some((prompt) => prompt.includes('of two kinds')));
  t.ok(
    [...train, ...test].every(({ completion }) => [' noun: animal', ' noun: person'].includes(completion)),
  );
  t.strictSame(
    splitGlosses([file], { seed: 3, train: 6, test: 4 }),
    { train, test },
    'the same seed, the same split',
  );
  t.throws(() => splitGlosses([file], { seed: 3, train: 7, test: 4 }), /10 usable glosses, wanted 11/);
});
