import { readdir, readFile } from 'node:fs/promises';
import { maxColumns } from '@fleetlora/coordinator/models';
import type { Dataset, DatasetImport, SplitName } from '@fleetlora/shared/protocol';
import { maxLineCharacters, type TextRow } from '@fleetlora/shared/text';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { openModels } from '../lib/open-models.js';
import { findReference, missingReference } from '../lib/reference.js';

type Content = string | Uint8Array;

/** A catalog, and ways to import files given as text. */
async function openImports(t: Test) {
  const models = await openModels(t);
  const put = (content: Content): Promise<string> =>
    models.content.put(typeof content === 'string' ? new TextEncoder().encode(content) : content);
  let names = 0;
  const importFiles = async (
    files: Partial<Record<SplitName, Content>>,
    options: Omit<DatasetImport, 'name' | 'files'> = {},
  ): Promise<Dataset> => {
    const digests: DatasetImport['files'] = {};
    for (const [split, content] of Object.entries(files)) digests[split as SplitName] = await put(content);
    return models.catalog.importDataset({ name: `data ${++names}`, files: digests, ...options });
  };
  const rowsOf = (dataset: Dataset, split: SplitName = 'all'): Promise<TextRow[]> =>
    models.catalog.readRows({ digest: dataset.splits[split]?.digest ?? '' });
  return { ...models, put, importFiles, rowsOf };
}

const intents = { promptTemplate: 'Message: {text}\nIntent:', labelColumn: 'label' } as const;
const csv = (...lines: string[]): string => `${lines.join('\n')}\n`;

t.test(
  'CSV: a byte-order mark, CRLF, blank lines, and fields in quotes with commas, quotes and line ends',
  async (t) => {
    const { importFiles, rowsOf } = await openImports(t);
    const text =
      '\ufefftext, label ,id\r\n"Hi, ""you""",greet_user,1\r\n\r\n"two\r\nlines",bye-now,2\r\nplain,greet_user,3';
    const dataset = await importFiles({ all: text }, intents);
    t.same(await rowsOf(dataset), [
      { prompt: 'Message: Hi, "you"\nIntent:', completion: ' greet user' },
      { prompt: 'Message: two\r\nlines\nIntent:', completion: ' bye now' },
      { prompt: 'Message: plain\nIntent:', completion: ' greet user' },
    ]);
    t.match(dataset, {
      rows: 3,
      task: { kind: 'completion' },
      report: {
        labels: [
          { label: 'greet_user', rows: 2 },
          { label: 'bye-now', rows: 1 },
        ],
        imbalance: 2,
        duplicateRows: 0,
        leaks: [],
      },
    });
  },
);

for (const [name, separator] of [
  ['semicolon', ';'],
  ['tab', '\t'],
] as const) {
  t.test(`CSV whose header parts at each ${name}; commas in it are text`, async (t) => {
    const { importFiles, rowsOf } = await openImports(t);
    const lines = ['"text",label', 'a,b;c'].map((line) => line.replaceAll(',', separator));
    const dataset = await importFiles({ all: csv(lines[0] as string, `"x, y"${separator}z`) }, intents);
    t.same(await rowsOf(dataset), [{ prompt: 'Message: x, y\nIntent:', completion: ' z' }]);
  });
}

t.test('CSV and JSONL with the columns prompt and completion need no templates', async (t) => {
  const { importFiles, rowsOf } = await openImports(t);
  const row = { prompt: 'a', completion: 'b' };
  t.same(await rowsOf(await importFiles({ all: csv('completion,prompt', 'b,a') })), [row]);
  const lines = `${JSON.stringify({ ...row, label: 'x' })}\n`;
  const plain = await importFiles({ all: lines }, { labelColumn: 'label' });
  t.same(await rowsOf(plain), [row]);
  t.same(plain.report?.labels, [{ label: 'x', rows: 1 }]);
});

t.test('JSONL of prompts and completions is its own split: its bytes are not stored again', async (t) => {
  const { importFiles, put } = await openImports(t);
  const content = '{"completion": "b", "prompt": "a", "id": 1}\n';
  const dataset = await importFiles({ train: content, test: content });
  t.same(dataset.splits, {
    train: { digest: await put(content), rows: 1 },
    test: { digest: await put(content), rows: 1 },
  });
  t.same(dataset.report?.leaks, [{ splits: ['train', 'test'], rows: 1 }]);
});

t.test('JSONL values: texts, numbers and truth fill places; others are named', async (t) => {
  const { importFiles, rowsOf } = await openImports(t);
  const options = { promptTemplate: '{q}', completionTemplate: ' {a}' };
  const lines = [
    { q: 'x', a: 1.5 },
    { q: 'y', a: false },
  ].map((row) => JSON.stringify(row));
  t.same(await rowsOf(await importFiles({ all: lines.join('\n') }, options)), [
    { prompt: 'x', completion: ' 1.5' },
    { prompt: 'y', completion: ' false' },
  ]);
  for (const value of ['null', '["b"]', '{"b":1}'])
    await t.rejects(
      importFiles({ all: `${lines[0]}\n{"q": "x", "a": ${value}}` }, options),
      coded('DATA_LINE', 'line 2', '"a"', value.slice(0, 4)),
      value,
    );
});

t.test('columns that are not there: the message lists those that are', async (t) => {
  const { importFiles } = await openImports(t);
  const file = { all: csv('text,label', 'a,b') };
  await t.rejects(importFiles(file), coded('DATA_COLUMN', '"prompt" and "completion"', 'text, label'));
  await t.rejects(
    importFiles(file, { ...intents, promptTemplate: '{message}' }),
    coded('DATA_COLUMN', 'prompt template', '"message"', 'text, label'),
  );
  await t.rejects(
    importFiles(file, { ...intents, completionTemplate: '{answer}' }),
    coded('DATA_COLUMN', 'completion template', '"answer"', 'text, label'),
  );
  await t.rejects(
    importFiles(file, { ...intents, labelColumn: 'intent' }),
    coded('DATA_COLUMN', 'label column', '"intent"', 'text, label'),
  );
  await t.rejects(
    importFiles(
      { all: '{"q":"a","a":"b"}\n{"q":"a"}' },
      { promptTemplate: '{q}', completionTemplate: '{a}' },
    ),
    coded('DATA_COLUMN', 'line 2', '"a"'),
  );
});

t.test('lines that are no rows are named as they are numbered in the file', async (t) => {
  const { importFiles, incomingFolder } = await openImports(t);
  const cases: readonly [string, Content, readonly string[]][] = [
    ['too few fields', csv('text,label', '"a', 'b",c', '', 'd'), ['line 5', '1 field', '2: text, label']],
    ['too many fields', csv('text,label', 'a,b,c'), ['line 2', '3 fields']],
    ['an empty label', csv('text,label', 'a,b', '"c', 'd", '), ['line 3', 'empty label', '"label"']],
    ['a quote that stays open', csv('text,label', 'a,b', '"c,d', 'e,f'), ['line 3', 'never closed']],
    ['a quote inside a field', csv('text,label', 'a"b,c'), ['line 2', 'quote inside']],
    ['text after a quote', csv('text,label', '"a"b,c'), ['line 2', 'quote inside']],
    ['a column twice', csv('text,label,text', 'a,b,c'), ['line 1', '"text" twice']],
    ['UTF-16', Buffer.from('\ufefftext,label\na,b\n', 'utf16le'), ['line 1', 'UTF-16']],
    ['Latin-1', Buffer.from('text,label\na,b\nh\u00e9,b\n', 'latin1'), ['line 3', 'not UTF-8']],
    [
      'a cut character',
      Buffer.from(`${csv('text,label', 'a,b')}c,ü`).subarray(0, -1),
      ['line 3', 'not UTF-8'],
    ],
    ['a zero byte', 'text,label\na,b\nc\0,d\n', ['line 3', 'zero byte']],
    ['broken JSON', '{"text":"a","label":"b"}\n{"text"', ['line 2', 'not JSON']],
    ['a JSON array', '\n[{"text":"a","label":"b"}]', ['line 2', 'JSON array']],
  ];
  for (const [name, content, words] of cases)
    await t.rejects(importFiles({ all: content }, intents), coded('DATA_LINE', ...words), name);
  await t.rejects(
    importFiles({ train: csv('text,label', 'a,b'), test: csv('text,label', 'a') }, intents),
    coded('DATA_LINE', 'test: line 2'),
    'of several files, the one that is meant',
  );
  await t.rejects(
    importFiles({ all: csv('text,label', ' ,b') }, { ...intents, promptTemplate: '{text}' }),
    coded('DATA_LINE', 'line 2', 'empty prompt'),
  );
  t.match((await importFiles({ all: csv('text,label', ' ,b', 'a,c', 'b,c') }, intents)).report?.warnings, [
    '1 row has nothing in "text"',
  ]);
  for (const empty of ['', ' \n\n', 'text,label\n'])
    await t.rejects(importFiles({ all: empty }, intents), coded('DATA_EMPTY'), JSON.stringify(empty));
  t.same(await readdir(incomingFolder), [], 'nothing half-made is left');
});

t.test(
  `a line of ${maxLineCharacters} characters and ${maxColumns} columns are allowed, one more is not`,
  async (t) => {
    const { importFiles } = await openImports(t);
    const line = (characters: number): string => csv('text,label', `${'x'.repeat(characters - 2)},b`);
    t.match(await importFiles({ all: line(maxLineCharacters) }, intents), { rows: 1 });
    await t.rejects(
      importFiles({ all: line(maxLineCharacters + 1) }, intents),
      coded('DATA_LINE', 'line 2', maxLineCharacters),
    );
    const columns = (count: number): string => {
      const names = ['text', 'label', ...Array.from({ length: count - 2 }, (_, index) => `c${index}`)];
      return csv(names.join(','), names.join(','));
    };
    t.match(await importFiles({ all: columns(maxColumns) }, intents), { rows: 1 });
    await t.rejects(
      importFiles({ all: columns(maxColumns + 1) }, intents),
      coded('DATA_LINE', 'line 1', maxColumns + 1, maxColumns),
    );
    await t.rejects(
      importFiles({ all: csv('text,label', `"${'x\n'.repeat(maxLineCharacters / 2 + 1)}",b`) }, intents),
      coded('DATA_LINE', 'line 2', maxLineCharacters, 'quote'),
      'a field of many lines is bounded like one line',
    );
  },
);

t.test('made splits: in the wanted parts, in the order of the file, without a shared prompt', async (t) => {
  const { importFiles, rowsOf, incomingFolder } = await openImports(t);
  // Ten rows of each of four classes; the last four rows repeat the first prompt but for white space.
  const lines = Array.from({ length: 40 }, (_, row) => `question ${row < 36 ? row : ' 0 '},class_${row % 4}`);
  const options = { ...intents, split: { train: 80, validation: 10, test: 10, seed: 3 } };
  const dataset = await importFiles({ all: csv('text,label', ...lines) }, options);
  const { train, validation, test } = dataset.splits;
  t.equal((train?.rows ?? 0) + (validation?.rows ?? 0) + (test?.rows ?? 0), 40);
  t.equal(dataset.rows, 40);
  t.equal(dataset.digest, train?.digest);
  t.same(dataset.report?.leaks, []);
  t.equal(dataset.report?.duplicateRows, 4);
  const numberOf = ({ prompt }: TextRow): number => Number(/question +(\d+)/.exec(prompt)?.[1]);
  const numbers = (await rowsOf(dataset, 'test')).map(numberOf).filter((number) => number > 0);
  t.same(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
  t.same(
    (await importFiles({ all: csv('text,label', ...lines) }, options)).splits,
    dataset.splits,
    'repeats',
  );
  t.same(await readdir(incomingFolder), []);
});

t.test('a label column with braces in its name', async (t) => {
  const { importFiles, rowsOf } = await openImports(t);
  const dataset = await importFiles(
    { all: csv('text,{b', 'a,x_y') },
    { promptTemplate: '{text}', labelColumn: '{b' },
  );
  t.same(await rowsOf(dataset), [{ prompt: 'a', completion: ' x y' }]);
});

t.test('requests whose parts do not go together', async (t) => {
  const { importFiles } = await openImports(t);
  const file = csv('text,label', 'a,b');
  const split = { train: 80, validation: 10, test: 10, seed: 1 };
  const refused = (files: Parameters<typeof importFiles>[0], options: object, ...words: string[]) =>
    t.rejects(importFiles(files, options), coded('BAD_REQUEST', ...words), words.join());
  await refused({}, {}, 'none', '"all" alone');
  await refused({ all: file, test: file }, intents, 'all, test', '"all" alone');
  await refused({ train: file, test: file }, { ...intents, split }, 'train, test', 'wanted "all"');
  await refused({ all: file }, { ...intents, split: { ...split, test: 11 } }, '80/10/11', '101', '100');
  await refused({ all: file }, { completionTemplate: '{a}' }, 'prompt template');
  await refused({ all: file }, { promptTemplate: '{a}' }, 'completion template or a label column');
  await refused({ all: file }, { ...intents, promptTemplate: '{text' }, 'prompt template', 'character 1');
});

t.test(
  'templates that leave no space between prompt and completion, or leave it in the prompt',
  async (t) => {
    const { importFiles } = await openImports(t);
    const warningsOf = async (promptTemplate: string, completionTemplate: string) =>
      (await importFiles({ all: csv('text,label', 'a,b', 'c,d') }, { promptTemplate, completionTemplate }))
        .report?.warnings;
    t.same(await warningsOf('{text}:', ' {label}'), []);
    t.same(await warningsOf('{text}\n', '{label}'), []);
    t.match(await warningsOf('{text}:', '{label}'), [/nothing stands between.*" \{label\}"/]);
    t.match(await warningsOf('{text}: ', '{label}'), [/ends with a space.*" \{label\}"/]);
  },
);

t.test('a pattern is tried on every expected text; a row without an answer is named', async (t) => {
  const { importFiles, catalog } = await openImports(t);
  const options = (pattern: string) => ({
    promptTemplate: '{q}',
    completionTemplate: ' {a}',
    task: { kind: 'generation' as const, maxNewTokens: 8, scorer: { kind: 'regex' as const, pattern } },
  });
  const file = csv('q,a', '1,#### 7', '2,so #### 8', '3,nine');
  await t.rejects(importFiles({ all: file }, options('#### (\\d+)')), coded('DATA_LINE', 'row 3', 'nine'));
  await t.rejects(
    importFiles({ train: csv('q,a', '1,#### 7'), test: file }, options('#### (\\d+)')),
    coded('DATA_LINE', 'row 3', 'split "test"'),
  );
  await t.rejects(importFiles({ all: file }, options('((')), coded('SCORER_INVALID', '(('));
  t.same(await catalog.listDatasets(), []);
  const dataset = await importFiles({ all: file }, options('(\\d+|nine)'));
  t.match(dataset.task, { kind: 'generation', scorer: { kind: 'regex' } });
  t.same((await catalog.findDataset(dataset.id)).task, dataset.task);
});

t.test("a user's module is loaded and tried; one that is not uploaded is named", async (t) => {
  const { importFiles, put } = await openImports(t);
  const task = (digest: string) => ({
    task: { kind: 'generation' as const, maxNewTokens: 8, scorer: { kind: 'module' as const, digest } },
  });
  const file = { all: '{"prompt":"a","completion":"b"}\n' };
  await t.rejects(importFiles(file, task('0'.repeat(64))), coded('NOT_FOUND', '0'.repeat(64)));
  await t.rejects(importFiles(file, task(await put('export const x = 1;'))), coded('SCORER_INVALID'));
  const equal = await put('export const score = ({ expected, answer }) => expected === answer;');
  t.same((await importFiles(file, task(equal))).report?.warnings, []);
  const never = await put('export const score = () => false;');
  t.match((await importFiles(file, task(never))).report?.warnings, [/calls the expected text itself wrong/]);
});

t.test(
  'Banking77: its classes, repeated prompts and shared ones',
  { skip: missingReference('data') },
  async (t) => {
    const { importFiles, rowsOf } = await openImports(t);
    const read = (name: string) => readFile(findReference('data', name) as string);
    const options = { promptTemplate: 'Message: {text}\nIntent:', labelColumn: 'category' };
    const [train, test] = [await read('banking77_train.csv'), await read('banking77_test.csv')];
    const named = await importFiles({ train, test }, options);
    t.match(named, { rows: 13_083, splits: { train: { rows: 10_003 }, test: { rows: 3_080 } } });
    t.equal(named.report?.labels?.length, 77);
    // Counted with Python: prompts with white space joined, the class totals of both files.
    t.match(named.report, {
      duplicateRows: 5,
      leaks: [{ splits: ['train', 'test'], rows: 7 }],
      imbalance: 227 / 75,
    });
    t.same((await rowsOf(named, 'test'))[0], {
      prompt: 'Message: How do I locate my card?\nIntent:',
      completion: ' card arrival',
    });

    const made = await importFiles(
      { all: train },
      { ...options, split: { train: 80, validation: 10, test: 10, seed: 1 } },
    );
    t.match(made.splits, { train: { rows: 8_003 }, validation: { rows: 1_000 }, test: { rows: 1_000 } });
    t.same(made.report?.leaks, []);
    const classes = new Set((await rowsOf(made, 'validation')).map(({ completion }) => completion));
    t.equal(classes.size, 77);
  },
);

t.test(
  'GSM8K: every reference solution has an answer that the pattern finds',
  { skip: missingReference('data') },
  async (t) => {
    const { importFiles, rowsOf } = await openImports(t);
    const dataset = await importFiles(
      { all: await readFile(findReference('data', 'gsm8k_test.jsonl') as string) },
      {
        promptTemplate: 'Question: {question}\nAnswer:',
        completionTemplate: ' {answer}',
        split: { train: 0, validation: 50, test: 50, seed: 1 },
        task: {
          kind: 'generation',
          maxNewTokens: 64,
          scorer: { kind: 'regex', pattern: '####\\s*(-?[\\d,.]+)' },
        },
      },
    );
    t.match(dataset, { rows: 1_319, splits: { validation: { rows: 660 }, test: { rows: 659 } } });
    t.same(dataset.report, { labels: null, imbalance: null, duplicateRows: 0, leaks: [], warnings: [] });
    t.match((await rowsOf(dataset, 'test'))[0]?.prompt, /^Question: [\s\S]*\nAnswer:$/);
  },
);
