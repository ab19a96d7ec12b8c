import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createProgram } from '@fleetlora/coordinator/cli';
import type { Dataset } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { memoryContext } from '../lib/memory-context.js';
import { runCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

/** A coordinator, files beside it, and the command line in this process. */
async function openCli(t: Test) {
  const { url, token, request } = await runCoordinator(t);
  const folder = await temporaryFolder(t);
  const file = async (name: string, ...lines: string[]): Promise<string> => {
    await writeFile(join(folder, name), `${lines.join('\n')}\n`);
    return join(folder, name);
  };
  const fleetlora = async (...args: string[]): Promise<{ out: string; err: string }> => {
    const context = memoryContext();
    await createProgram(context).parseAsync([...args, '--url', url, '--token', token], { from: 'user' });
    return { out: context.out(), err: context.err() };
  };
  return { file, fleetlora, request };
}

const templates = ['--prompt-template', 'Message: {text}\\nIntent:', '--label-column', 'label'];

t.test(
  'CSV files by split: the table, the first row, the classes, what to beware of, and what is next',
  async (t) => {
    const { file, fleetlora } = await openCli(t);
    const train = await file(
      'intents_train.csv',
      'text,label',
      '"Hi, you",greet_user',
      'bye,leave',
      'ciao,leave',
    );
    const test = await file('intents_test.csv', 'text,label', 'bye,leave', 'hello,greet_user');
    const { out, err } = await fleetlora('dataset', 'import', '--train', train, '--test', test, ...templates);
    const lines = out.split('\n').map((line) => line.replace(/ +/g, ' ').trim());
    t.match(lines[0], /^data intents data_/);
    t.match(
      lines,
      [
        '',
        'rows 5',
        'task completion: right when the whole completion is the likeliest text',
        'classes 2, from 2 to 3 rows, 1.5 to 1',
        '',
        'split rows share used for',
        'train 3 60.0 % training',
        'test 2 40.0 % comparing candidates, final scores',
        '',
        'first row, as the model sees it',
        'prompt "Message: Hi, you\\nIntent:"',
        'completion " greet user"',
        '',
        'class rows',
        'leave 3 ████████████████████████',
        // Two thirds of 24 cells.
        'greet_user 2 ████████████████',
        '',
        '! 1 row of test has a prompt that train has too, so learning by heart pays there',
        /^· no validation split/,
      ].map((line) => (line === '' ? /^/ : line)),
    );
    t.match(err, /next: fleetlora train --base BASE --dataset intents /);

    t.equal((await fleetlora('dataset', 'show', 'intents')).out, out, 'shown again as it was');
    t.match((await fleetlora('dataset', 'list')).out, /intents +5 +train 3, test 2 +completion +2 +1 +data_/);
  },
);

t.test('made splits and a scorer, as JSON for programs', async (t) => {
  const { file, fleetlora } = await openCli(t);
  const rows = Array.from({ length: 10 }, (_, row) => JSON.stringify({ q: `${row}?`, a: `#### ${row}` }));
  const { out, err } = await fleetlora(
    ...[
      'dataset',
      'import',
      await file('sums.jsonl', ...rows),
      '--split',
      '0/50/50',
      '--seed',
      '7',
      '--json',
    ],
    ...['--prompt-template', '{q}\\n', '--completion-template', '{a}', '--pattern', '####\\s*(\\d+)'],
  );
  t.notMatch(err, /next:/);
  const dataset = JSON.parse(out) as Dataset;
  t.match(dataset, {
    name: 'sums',
    rows: 10,
    splits: { validation: { rows: 5 }, test: { rows: 5 } },
    task: { kind: 'generation', maxNewTokens: 256, scorer: { kind: 'regex', pattern: '####\\s*(\\d+)' } },
  });
  t.same(JSON.parse((await fleetlora('dataset', 'show', dataset.id, '--json')).out), dataset);
  const { out: shown } = await fleetlora('dataset', 'show', 'sums');
  t.match(shown, /generation: writes up to 256 tokens, judged by last match of ####\\s\*\(\\d\+\)/);
  t.match(shown, /prompt +"\d\?\\n"/);
});

t.test('many classes: five at each end, all with --classes', async (t) => {
  const { file, fleetlora } = await openCli(t);
  const lines = Array.from({ length: 12 }, (_, label) =>
    Array.from({ length: 2 + label }, (_, row) => `${label} ${row},class${label}`),
  ).flat();
  const path = await file('many.csv', 'text,label', ...lines);
  const { out } = await fleetlora('dataset', 'import', path, ...templates);
  t.match(out, /class11 +13 [\s\S]*class7 +9 .*\n… 2 more\nclass4 +6 /);
  t.notMatch(out, /class5 |class6 /);
  t.match((await fleetlora('dataset', 'show', 'many', '--classes')).out, /class6 +8 .*\nclass5 +7 /);
});

t.test('plain files are registered once under a name; other data under it is refused', async (t) => {
  const { file, fleetlora } = await openCli(t);
  const row = (text: string): string => JSON.stringify({ prompt: text, completion: 'x' });
  const [one, two] = [await file('train.jsonl', row('a')), await file('test.jsonl', row('b'))];
  const named = ['dataset', 'import', '--name', 'plain', '--json', '--train', one];
  const first = JSON.parse((await fleetlora(...named, '--test', two)).out) as Dataset;
  t.equal((JSON.parse((await fleetlora(...named, '--test', two)).out) as Dataset).id, first.id);
  await t.rejects(fleetlora(...named), coded('ALREADY_EXISTS', '"plain"'));
});

t.test('a column that is not there, and a broken row, reach the user by name', async (t) => {
  const { file, fleetlora } = await openCli(t);
  const path = await file('data.csv', 'text,category', 'a,b');
  await t.rejects(fleetlora('dataset', 'import', path), coded('DATA_COLUMN', '"prompt"', 'text, category'));
  await t.rejects(
    fleetlora('dataset', 'import', path, ...templates),
    coded('DATA_COLUMN', 'label column', '"label"', 'text, category'),
  );
  await t.rejects(fleetlora('dataset', 'show', 'data'), coded('NOT_FOUND', '"data"'));
});

t.test('GET /v1/datasets/:id takes an id or a name, and nothing without a token', async (t) => {
  const { file, fleetlora, request } = await openCli(t);
  const path = await file('rows.jsonl', '{"prompt":"a","completion":"b"}');
  const { id } = JSON.parse((await fleetlora('dataset', 'import', path, '--json')).out) as Dataset;
  for (const name of [id, 'rows']) {
    const answer = await request(`GET /v1/datasets/${name}`);
    t.match(await answer.json(), { id, name: 'rows', rows: 1, splits: { all: { rows: 1 } } });
  }
  t.equal((await request('GET /v1/datasets/other')).status, 404);
  t.equal((await request('GET /v1/datasets/rows', { token: null })).status, 401);
});
