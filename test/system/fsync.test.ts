import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { runPostgres } from '../lib/postgres.js';
import { checkout } from '../lib/reference.js';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { parseTrace, type TracedCall, traceOptions, whyNoStrace } from '../lib/strace.js';

t.setTimeout(150_000);

const skip = whyNoStrace() ?? false;
const ROUNDS = 20;
const isSync = ({ name }: TracedCall): boolean => name === 'fsync' || name === 'fdatasync';

/** Of the calls between one answer and the next, which came in which order. */
function betweenAnswers(
  calls: readonly TracedCall[],
  isAnswer: (call: TracedCall) => boolean,
): TracedCall[][] {
  const rounds: TracedCall[][] = [];
  let current: TracedCall[] = [];
  for (const call of calls)
    if (isAnswer(call)) {
      rounds.push(current);
      current = [];
    } else current.push(call);
  return rounds;
}

/** A traced process. */
interface Traced {
  /** Its first line of output. */
  readonly line: string;
  /** Resolves when it and its trace have ended. */
  readonly ended: Promise<unknown>;
  /** Asks the traced process to end; strace itself blocks signals. */
  terminate(): Promise<void>;
}

/** Starts `node ...args`, traced. */
async function runTraced(
  t: Test,
  trace: string,
  calls: readonly string[],
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Traced> {
  const tracer = spawn('strace', [...traceOptions(trace, calls), process.execPath, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const ended = once(tracer, 'close');
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    const children = await readFile(`/proc/${tracer.pid}/task/${tracer.pid}/children`, 'utf8').catch(
      () => '',
    );
    for (const pid of children.split(' ').filter(Boolean)) process.kill(Number(pid), name);
  };
  t.teardown(async () => {
    if (tracer.exitCode === null) await signal('SIGKILL');
    await ended;
  });
  const [line] = (await once(createInterface(tracer.stdout), 'line')) as [string];
  return { line, ended, terminate: () => signal('SIGTERM') };
}

/** Makes codes one after another: each is one transaction. */
async function createCodes({ url, adminToken }: { url: string; adminToken: string }): Promise<void> {
  for (let i = 0; i < ROUNDS; i++) {
    const response = await fetch(`${url}/v1/codes`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      body: '{}',
    });
    if (response.status !== 201) throw new Error(await response.text());
  }
}

const mainFile = fileURLToPath(new URL('main.js', import.meta.resolve('@fleetlora/coordinator')));
const upOptions = (folder: string): string[] => [
  ...[mainFile, '--data', folder, '--port', '0', '--mqtt-port', '0', '--ready-json', '--log', 'error'],
];

t.test(
  `SQLite: each of ${ROUNDS} answers of the API stands behind an fsync of the log`,
  { skip },
  async (t) => {
    const folder = await temporaryFolder(t);
    const trace = join(await temporaryFolder(t), 'trace');
    const { line, ended, terminate } = await runTraced(
      t,
      trace,
      ['fsync', 'fdatasync', 'write', 'writev'],
      upOptions(folder),
      { DATABASE_URL: '', FLEETLORA_DATABASE_URL: '' },
    );
    await createCodes(JSON.parse(line) as { url: string; adminToken: string });
    await terminate();
    await ended;
    const rounds = betweenAnswers(parseTrace(await readFile(trace, 'utf8')), ({ text }) =>
      text.includes('HTTP/1.1 201'),
    );
    t.equal(rounds.length, ROUNDS);
    const unsynced = rounds.filter(
      (calls) => !calls.some((call) => isSync(call) && call.text.includes('coordinator.db-wal')),
    );
    t.equal(unsynced.length, 0, `${ROUNDS - unsynced.length} of ${ROUNDS} answers stand behind an fsync`);
  },
);

t.test(`PostgreSQL: each of ${ROUNDS} commits is behind an fsync of its log`, { skip }, async (t) => {
  const server = await runPostgres(t);
  if (server === null) return;
  const trace = join(await temporaryFolder(t), 'trace');
  const calls = ['fsync', 'fdatasync', 'sendto'];
  const tracer = spawn('strace', [...traceOptions(trace, calls), '-p', String(server.pid())], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(tracer, 'close');
  t.teardown(() => tracer.kill('SIGTERM'));
  const [said] = (await once(createInterface(tracer.stderr), 'line')) as [string];
  if (!said.includes('attached')) {
    t.comment(`skipped: ${said}`);
    return;
  }
  const child = spawn(process.execPath, upOptions(await temporaryFolder(t)), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DATABASE_URL: server.url },
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  await createCodes(JSON.parse(line) as { url: string; adminToken: string });
  child.kill('SIGKILL');
  await once(child, 'close');
  tracer.kill('SIGTERM');
  await ended;
  // The answer to "UPDATE ...; COMMIT", which every transaction of ours ends with.
  const rounds = betweenAnswers(
    parseTrace(await readFile(trace, 'utf8')),
    ({ name, text }) => name === 'sendto' && /UPDATE 1\\0.*COMMIT\\0/.test(text),
  );
  t.ok(rounds.length >= ROUNDS, `${rounds.length} commits`);
  const unsynced = rounds.filter(
    (round) => !round.some((call) => isSync(call) && call.text.includes('pg_wal')),
  );
  t.equal(
    unsynced.length,
    0,
    `${rounds.length - unsynced.length} of ${rounds.length} commits stand behind a sync`,
  );
});

t.test(
  `an agent's outbox: each of ${ROUNDS} messages, and its name, are synced first`,
  { skip },
  async (t) => {
    const folder = join(await realpath(await temporaryFolder(t)), 'outbox');
    await mkdir(folder);
    const trace = join(await temporaryFolder(t), 'trace');
    const script = join(checkout, 'test', 'dist', 'lib', 'children', 'fill-outbox.js');
    const { ended } = await runTraced(
      t,
      trace,
      ['fsync', 'fdatasync', 'rename', 'renameat2', 'write'],
      [script, folder, String(ROUNDS)],
    );
    await ended;
    const rounds = betweenAnswers(
      parseTrace(await readFile(trace, 'utf8')),
      ({ name, text }) => name === 'write' && /"added \d+/.test(text),
    );
    t.equal(rounds.length, ROUNDS);
    const inOrder = rounds.filter((calls) => {
      const file = calls.findIndex((call) => isSync(call) && /\.part>/.test(call.text));
      const named = calls.findIndex(({ name, text }) => name.startsWith('rename') && text.includes(folder));
      const listed = calls.findLastIndex((call) => isSync(call) && call.text.includes(`${folder}>`));
      return file >= 0 && file < named && named < listed;
    });
    t.equal(inOrder.length, ROUNDS, 'content, then name, then folder');
  },
);
