/**
 * Entry of the thread in which foreign scoring code runs, inside the process of scorer-child.ts.
 *
 * A module gets a context of its own with the language and nothing else: no import, no process,
 * no network, no timers. No object of ours enters it, only text, because any object of ours would
 * lead to our globals.
 */
import vm from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { createAnswerPattern } from './answer-pattern.js';
import type { AnsweredRow, ForeignScorer, FromScorer } from './scorer-messages.js';

type Judge = (rows: readonly AnsweredRow[]) => Promise<FromScorer>;

/** Characters of a foreign message that are passed on. */
const MAX_MESSAGE = 300;

/** Runs in the module's context, so that `score` meets no object from outside. */
const GLUE = `import { score } from 'scorer';
if (typeof score !== 'function') throw new TypeError('its export "score" is not a function');
export async function judge(text) {
  const verdicts = [];
  for (const row of JSON.parse(text)) {
    let verdict;
    try {
      verdict = await score(row);
    } catch (error) {
      return JSON.stringify({ row: verdicts.length, threw: String(error?.message ?? error) });
    }
    if (typeof verdict !== 'boolean')
      return JSON.stringify({ row: verdicts.length, returned: String(JSON.stringify(verdict)) });
    verdicts.push(verdict);
  }
  return JSON.stringify({ verdicts });
}`;

const port = parentPort;
if (!port) throw new Error('scorer-thread.js runs as a worker thread only');
const say = (message: FromScorer): void => port.postMessage(message);

try {
  const judge = await load(workerData as ForeignScorer);
  port.on('message', (rows: readonly AnsweredRow[]) => {
    judge(rows).then(say, (error: unknown) => say({ kind: 'invalid', why: `failed: ${textOf(error)}` }));
  });
  say({ kind: 'loaded' });
} catch (error) {
  say({ kind: 'invalid', why: `cannot be loaded: ${textOf(error)}` });
}

async function load(scorer: ForeignScorer): Promise<Judge> {
  return scorer.kind === 'regex' ? judgeByPattern(scorer.pattern) : judgeByModule(scorer.source);
}

function judgeByPattern(pattern: string): Judge {
  const answerOf = createAnswerPattern(pattern);
  return async (rows) => ({
    kind: 'verdicts',
    verdicts: rows.map(({ expected, answer }) => {
      const wanted = answerOf(expected);
      return wanted === null ? null : answerOf(answer) === wanted;
    }),
  });
}

async function judgeByModule(source: string): Promise<Judge> {
  const context = vm.createContext(Object.create(null), { codeGeneration: { strings: false, wasm: false } });
  vm.runInContext(
    'globalThis.console = Object.fromEntries(["debug", "error", "info", "log", "warn"].map((name) => [name, () => {}]))',
    context,
  );
  const refuse = (specifier: string): never => {
    throw new Error(`it imports "${specifier}", wanted one file that imports nothing`);
  };
  const options = { context, importModuleDynamically: refuse };
  const scorer = new vm.SourceTextModule(source, { ...options, identifier: 'scorer' });
  await scorer.link(refuse);
  const glue = new vm.SourceTextModule(GLUE, { ...options, identifier: 'glue' });
  await glue.link((specifier) => (specifier === 'scorer' ? scorer : refuse(specifier)));
  await glue.evaluate();
  const { judge } = glue.namespace as { judge(text: string): Promise<string> };
  return async (rows) => {
    const said = JSON.parse(String(await judge(JSON.stringify(rows)))) as {
      verdicts?: boolean[];
      row?: number;
      threw?: string;
      returned?: string;
    };
    if (said.verdicts?.length === rows.length)
      return { kind: 'verdicts', verdicts: said.verdicts.map(Boolean) };
    const prompt = JSON.stringify(rows[said.row ?? 0]?.prompt.slice(0, 60));
    return {
      kind: 'invalid',
      why:
        said.threw === undefined
          ? `returned ${String(said.returned).slice(0, 60)} for the row with prompt ${prompt}, wanted true or false`
          : `threw "${said.threw.slice(0, MAX_MESSAGE)}" for the row with prompt ${prompt}`,
    };
  };
}

/** Messages of foreign errors, without their stack. */
function textOf(error: unknown): string {
  const message = (error as { message?: unknown } | null)?.message;
  return String(typeof message === 'string' ? message : error).slice(0, MAX_MESSAGE);
}
