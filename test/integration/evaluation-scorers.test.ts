import { fork } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  type AnsweredRow,
  checkScorer,
  createAnswerScorer,
  type LoadedScorer,
  loadScorer,
  type ScorerLimits,
} from '@fleetlora/coordinator/evaluation';
import type { DatasetTask } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { digestOf } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';

/** What foreign code gets here: enough for a slow machine, too little for what runs for ever. */
const limits: ScorerLimits = { batchMs: 20_000, heapMegabytes: 64, residentBytes: 400 * 2 ** 20 };
const row = (expected: string, answer: string, prompt = 'q'): AnsweredRow => ({ prompt, expected, answer });
const open = (t: Test, scorer: LoadedScorer, given = limits) => {
  const judge = createAnswerScorer(scorer, given);
  t.teardown(() => judge.close());
  return judge;
};

for (const [ignoreCase, expected, answer, right] of [
  [false, ' yes', 'yes\n', true],
  [false, ' yes', 'Yes', false],
  [true, ' yes', 'YES ', true],
  [false, 'a  b', 'a b', false],
  [false, ' yes', 'yes and more', false],
] as const)
  t.test(`exact match, ignoreCase ${ignoreCase}: ${JSON.stringify([expected, answer])}`, async (t) => {
    const judge = open(t, { kind: 'exactMatch', ignoreCase });
    t.same(await judge.judge([row(expected, answer)]), [right]);
  });

t.test('a regex takes the last match of each text, and no match of the expected one is null', async (t) => {
  const judge = open(t, { kind: 'regex', pattern: '####\\s*(-?[\\d,.]+)' });
  const cases: [expected: string, answer: string, verdict: boolean | null][] = [
    ['so\n#### 18', ' it is\n#### 18', true],
    ['so\n#### 18', '#### 1\n#### 18', true],
    ['so\n#### 18', '#### 18\n#### 1', false],
    ['so\n#### 1,234', '#### 1234.', true],
    ['so\n#### 18', 'it is 18', false],
    ['so\n#### 18', '', false],
    ['18', '#### 18', null],
    ['#### -3', '####-3', true],
  ];
  t.same(
    await judge.judge(cases.map(([expected, answer]) => row(expected, answer))),
    cases.map(([, , verdict]) => verdict),
  );
});

t.test('a pattern without a group: the whole match; empty matches are none', async (t) => {
  const judge = open(t, { kind: 'regex', pattern: '\\d*' });
  t.same(await judge.judge([row('7 of 10', 'ten is 10!'), row('none', '')]), [true, null]);
});

t.test('a pattern that backtracks for ever is ended and named; the scorer works on', async (t) => {
  const judge = open(t, { kind: 'regex', pattern: '(a+)+$' }, { ...limits, batchMs: 2000 });
  const endless = `${'a'.repeat(64)}b`;
  await t.rejects(
    judge.judge([row('aaa', endless)]),
    coded('SCORER_INVALID', '(a+)+$', 'needed more than 2 s to judge 1 answers'),
  );
  t.same(await judge.judge([row('aaa', 'b aaa')]), [true]);
});

t.test('a module judges each row, at once or as a promise, in the order of 130 rows', async (t) => {
  for (const keyword of ['', 'async ']) {
    const source = `export ${keyword}function score({ prompt, expected, answer }) {
      console.log('not shown');
      return answer.length > expected.length && prompt !== 'q7';
    }`;
    const judge = open(t, { kind: 'module', source });
    const rows = Array.from({ length: 130 }, (_, index) =>
      row('abc', 'x'.repeat(1 + (index % 6)), `q${index}`),
    );
    t.same(
      await judge.judge(rows),
      rows.map(({ answer, prompt }) => answer.length > 3 && prompt !== 'q7'),
    );
  }
});

const source = {
  'no score': 'export const other = 1;',
  'no function': 'export const score = true;',
  'a broken text': 'export function score( {',
  'a static import': 'import fs from "node:fs"; export const score = () => true;',
  'a dynamic import': 'export const score = async () => Boolean(await import("node:fs"));',
  'a throw': 'export const score = () => { throw new Error("no such luck"); };',
  'a throw of nothing': 'export const score = () => { throw null; };',
  'a number': 'export const score = () => 0.5;',
  'a circle': 'export const score = () => { const a = {}; a.a = a; return a; };',
  'an endless loop': 'export const score = () => { for (;;); };',
  'an endless promise': 'export const score = () => new Promise(() => {});',
  'an endless load': 'for (;;); export const score = () => true;',
  'much heap': 'export const score = () => { const a = []; for (;;) a.push(Array(1000).fill({})); };',
  'large buffers':
    'export const score = () => { const a = []; for (;;) a.push(new Uint8Array(1e7).fill(1)); };',
};
const wanted: Record<keyof typeof source, string> = {
  'no score': "cannot be loaded: The requested module 'scorer' does not provide an export named 'score'",
  'no function': 'cannot be loaded: its export "score" is not a function',
  'a broken text': 'cannot be loaded: ',
  'a static import': 'cannot be loaded: it imports "node:fs", wanted one file that imports nothing',
  'a dynamic import': 'it imports "node:fs"',
  'a throw': 'threw "no such luck" for the row with prompt "why?"',
  'a throw of nothing': 'threw "null"',
  'a number': 'returned 0.5 for the row with prompt "why?", wanted true or false',
  'a circle': 'circular',
  // On a busy machine the second may be over before it is loaded.
  'an endless loop': 'needed more than 1 s to ',
  'an endless promise': 'needed more than 1 s to ',
  'an endless load': 'needed more than 1 s to be loaded',
  // Its 64 MiB of heap, or of the whole process while the garbage collector makes its last effort.
  'much heap': 'MiB of memory',
  'large buffers': 'needed more than its 400 MiB of memory',
};
t.test('modules that are at fault are told so', async (t) => {
  // Memory is used up faster than time: only the endless ones get little of it.
  for (const [name, text] of Object.entries(source) as [keyof typeof source, string][]) {
    const batchMs = name.startsWith('an endless') ? 1000 : 20_000;
    const judge = createAnswerScorer({ kind: 'module', source: text }, { ...limits, batchMs });
    await t.rejects(
      judge.judge([row('a', 'b', 'why?')]),
      coded('SCORER_INVALID', 'the scorer module', wanted[name]),
      name,
    );
    judge.close();
  }
});

t.test('a module finds no way out of its context', async (t) => {
  const found = `export function score({ answer }) {
    const names = answer.split(' ');
    return names.some((name) => {
      try {
        return typeof globalThis[name] !== 'undefined';
      } catch {
        return false;
      }
    });
  }`;
  const names = 'process require fetch WebSocket Worker setTimeout setImmediate Buffer module';
  t.same(await open(t, { kind: 'module', source: found }).judge([row('', names), row('', 'Intl')]), [
    false,
    true,
  ]);
  const outside = `export function score(row) {
    for (const start of [row, globalThis, score, Promise, console.log]) {
      try {
        if (start.constructor.constructor('return typeof process')() !== 'undefined') return true;
      } catch {}
    }
    return false;
  }`;
  t.same(await open(t, { kind: 'module', source: outside }).judge([row('', '')]), [false]);
});

t.test('a closed scorer starts afresh', async (t) => {
  const judge = open(t, { kind: 'module', source: 'export const score = () => true;' });
  t.same(await judge.judge([row('', '')]), [true]);
  judge.close();
  t.same(await judge.judge([row('', '')]), [true]);
  t.same(await judge.judge([]), []);
});

const noProc = !existsSync('/proc/self/task') && 'children are looked up in /proc';

t.test('a scoring process that is killed is no fault of the scorer', { skip: noProc }, async (t) => {
  const judge = open(t, { kind: 'regex', pattern: '(a+)+$' }, { ...limits, batchMs: 3_600_000 });
  t.same(await judge.judge([row('aaa', 'aaa')]), [true]);
  const [pid = 0] = childrenOf(process.pid);
  const stuck = judge.judge([row('aaa', `${'a'.repeat(64)}b`)]);
  process.kill(pid, 'SIGKILL');
  await t.rejects(stuck, coded('CHILD_FAILED', '(a+)+$', 'SIGKILL'));
  t.same(await judge.judge([row('aaa', 'b')]), [false]);
});

t.test('an endless scorer ends with its parent, however that died', { skip: noProc }, async (t) => {
  const parent = fork(new URL('../lib/children/scoring-parent.js', import.meta.url));
  t.teardown(() => parent.kill('SIGKILL'));
  const tick = (): Promise<void> => setTimeout(50);
  let pids: number[] = [];
  // Half a second of its processor is more than its start takes: then it is in the loop.
  while (pids.length === 0 || cpuTicks(pids[0] as number) < 50) {
    await tick();
    pids = childrenOf(parent.pid as number);
  }
  parent.kill('SIGKILL');
  while (pids.some(isAlive)) await tick();
  t.same(pids.filter(isAlive), []);
});

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}
/** User time so far, in hundredths of a second. @source Linux proc(5), /proc/PID/stat, field 14 */
function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11]);
}
/** A killed process whose parent has not looked yet is a zombie: it uses nothing any more. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}

const task = (scorer: Extract<DatasetTask, { kind: 'generation' }>['scorer']): DatasetTask => ({
  kind: 'generation',
  maxNewTokens: 8,
  scorer,
});

t.test('checking a task: what is asked of its scorer at the import', async (t) => {
  const contentFolder = await tempFolder(t);
  const put = async (text: string): Promise<string> => {
    const bytes = new TextEncoder().encode(text);
    await writeFile(join(contentFolder, digestOf(bytes)), bytes);
    return digestOf(bytes);
  };
  const rows = Array.from({ length: 300 }, (_, index) => ({
    prompt: `q${index}`,
    completion: ` so ${index}\n#### ${index}`,
  }));
  const check = (given: DatasetTask, some = rows) =>
    checkScorer(given, { contentFolder, rows: some, where: 'split test', limits });

  t.same(await check({ kind: 'completion' }), []);
  t.same(await check(task({ kind: 'exactMatch' })), []);
  t.same(await check(task({ kind: 'regex', pattern: '#### (\\d+)' })), []);
  await t.rejects(
    check(task({ kind: 'regex', pattern: '#### (2\\d\\d|1\\d|\\d\\b)' })),
    coded('DATA_LINE', 'row 21 of split test', '#### (2\\d\\d|1\\d|\\d\\b)', '#### 20'),
  );
  await t.rejects(
    check(task({ kind: 'regex', pattern: '#### ([3-9]\\d|\\d\\b|1\\d|2\\d\\b|1\\d\\d|2[0-8]\\d)' })),
    coded('DATA_LINE', 'row 291 of split test'),
    'also in the second batch',
  );
  for (const pattern of ['(', 'a{2,1}', '[b-a]'])
    await t.rejects(check(task({ kind: 'regex', pattern }), []), coded('SCORER_INVALID', pattern));

  const equal = await put('export const score = ({ expected, answer }) => expected === answer;');
  t.same(await check(task({ kind: 'module', digest: equal })), []);
  const strict = await put("export const score = ({ prompt }) => !['q3', 'q5', 'q70'].includes(prompt);");
  t.same(await check(task({ kind: 'module', digest: strict })), [
    'the scorer calls the expected text itself wrong in 2 of the first 64 rows of split test',
  ]);
  const broken = await put('export const scores = 1;');
  await t.rejects(check(task({ kind: 'module', digest: broken }), []), coded('SCORER_INVALID', 'score'));
  const missing = 'f'.repeat(64);
  await t.rejects(check(task({ kind: 'module', digest: missing })), coded('NOT_FOUND', missing));
  for (const [bytes, fits] of [
    [4 * 2 ** 20, true],
    [4 * 2 ** 20 + 1, false],
  ] as const) {
    const digest = await put('//'.padEnd(bytes, '-'));
    const loaded = loadScorer({ kind: 'module', digest }, contentFolder);
    if (fits) t.match(await loaded, { kind: 'module' }, `${bytes} bytes`);
    else await t.rejects(loaded, coded('SCORER_INVALID', bytes, 4 * 2 ** 20));
  }
});
