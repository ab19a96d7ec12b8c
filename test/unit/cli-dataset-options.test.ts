import { filesOf, nameOfFiles, splitParts, taskOf, templateText } from '@fleetlora/coordinator/cli';
import t from 'tap';
import { coded } from '../lib/coded.js';

t.test('templates as a shell hands them over: \\n, \\t and \\\\ are what they stand for', async (t) => {
  t.equal(templateText('Message: {text}\\nIntent:\\t'), 'Message: {text}\nIntent:\t');
  t.equal(templateText('a\\\\nb'), 'a\\nb');
  t.equal(templateText('a\\d\nb'), 'a\\d\nb');
});

t.test('parts are three whole percents that add up to 100', async (t) => {
  t.same(splitParts('80/10/10'), { train: 80, validation: 10, test: 10 });
  t.same(splitParts('0:50:50'), { train: 0, validation: 50, test: 50 });
  for (const text of ['80/20', '80/10/9', '80/10/11', '80/10/10/0', '-10/100/10', 'a/b/c', '33.3/33.3/33.4'])
    t.throws(() => splitParts(text), /add up to 100/, text);
});

t.test('files: one, or some by split', async (t) => {
  t.same(filesOf('a.csv', {}), { all: 'a.csv' });
  t.same(filesOf(undefined, { train: 'a', test: 'b' }), { train: 'a', test: 'b' });
  const split = { train: 80, validation: 10, test: 10 };
  t.same(filesOf('a.csv', { split, seed: 4 }), { all: 'a.csv' });
  t.throws(() => filesOf(undefined, {}), coded('BAD_USAGE', 'no file', '--train'));
  t.throws(() => filesOf('a.csv', { test: 'b' }), coded('BAD_USAGE', 'a.csv', '--split'));
  t.throws(() => filesOf(undefined, { train: 'a', split }), coded('BAD_USAGE', '--split', 'one FILE'));
  t.throws(() => filesOf('a.csv', { seed: 4 }), coded('BAD_USAGE', '--seed', 'no --split'));
});

t.test('names come from files: the split at the end of one goes', async (t) => {
  t.equal(nameOfFiles({ all: '/data/gsm8k_test.jsonl' }), 'gsm8k_test');
  t.equal(nameOfFiles({ train: '/data/banking77_train.csv', test: 'x.csv' }), 'banking77');
  t.equal(nameOfFiles({ test: 'banking77-TEST.CSV' }), 'banking77');
  t.equal(nameOfFiles({ train: 'train.csv' }), 'train');
  t.equal(nameOfFiles({ train: '/data/intents/train.jsonl', test: '/data/intents/test.jsonl' }), 'intents');
});

t.test('scorers: exact, regex, a module; a pattern alone means regex', async (t) => {
  const upload = async (path: string) => `digest of ${path}`;
  const generation = (scorer: object, maxNewTokens = 256) => ({ kind: 'generation', maxNewTokens, scorer });
  t.equal(await taskOf({}, upload), undefined);
  t.same(await taskOf({ scorer: 'exact' }, upload), generation({ kind: 'exactMatch' }));
  t.same(
    await taskOf({ scorer: 'exact', ignoreCase: true, maxNewTokens: 5 }, upload),
    generation({ kind: 'exactMatch', ignoreCase: true }, 5),
  );
  t.same(await taskOf({ pattern: '\\d+' }, upload), generation({ kind: 'regex', pattern: '\\d+' }));
  t.same(
    await taskOf({ scorer: './judge.mjs' }, upload),
    generation({ kind: 'module', digest: 'digest of ./judge.mjs' }),
  );
  const refused: readonly [Parameters<typeof taskOf>[0], string][] = [
    [{ scorer: 'regex' }, '--pattern'],
    [{ scorer: 'exact', pattern: 'x' }, '--pattern goes with --scorer regex'],
    [{ scorer: 'regex', pattern: 'x', ignoreCase: true }, '--ignore-case goes with --scorer exact'],
    [{ ignoreCase: true }, 'not given'],
    [{ maxNewTokens: 5 }, '--max-new-tokens goes with --scorer'],
    [{ scorer: 'fuzzy' }, '"fuzzy", wanted exact, regex or a module'],
  ];
  for (const [options, words] of refused)
    await t.rejects(taskOf(options, upload), coded('BAD_USAGE', words), words);
});
