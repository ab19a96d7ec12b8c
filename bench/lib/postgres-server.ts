import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { findPostgresPrograms, type PostgresPrograms } from './postgres-programs.js';

/** A PostgreSQL server of one's own: a new cluster in a temporary folder, on a port of 127.0.0.1. */
export interface PostgresServer {
  /** Address of its first database, with the password: a value for DATABASE_URL. */
  readonly url: string;
  /** The server's log so far. */
  readonly log: () => string;
  /** Process id of the server, null while it is down. */
  readonly pid: () => number | null;
  /** Makes an empty database and returns its address. */
  createDatabase(name: string): Promise<string>;
  /** Runs SQL as the administrator with psql and returns what it prints, without headings. */
  query(sql: string, database?: string): Promise<string>;
  /** Ends the server in order: connections are cut with 57P01, everything is written down. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL, as the loss of power would; resolves when none of its processes is left. */
  kill(): Promise<void>;
  /** Starts it again, on the same port and data; does nothing while it runs. */
  start(): Promise<void>;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

const USER = 'fleetlora';
const DATABASE = 'fleetlora';
const START_ATTEMPTS = 5;

/**
 * Starts a server whose commits wait for the disk (fsync on). It ends with this process, however
 * that ends. As root it runs as the user `postgres` or `nobody`, since it refuses to run as root.
 * @returns the server, or a sentence that says why there can be none
 */
export async function startPostgres(): Promise<PostgresServer | string> {
  const programs = findPostgresPrograms();
  if (typeof programs === 'string') return programs;
  const account = process.getuid?.() === 0 ? unprivilegedAccount() : null;
  if (account === undefined) return 'a PostgreSQL server does not run as root, and no other user is known';
  const parent = await firstReachable(account);
  if (parent === null) return 'no temporary folder can be reached by the user that the server runs as';
  const folder = await mkdtemp(join(parent, 'fleetlora-postgres-'));
  try {
    if (account !== null) await chown(folder, account.uid, account.gid);
    const server = createPostgresServer(programs, folder, account);
    await server.initialize();
    return server;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The first of the users that own nothing of value; undefined when there is none. */
function unprivilegedAccount(): Account | undefined {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/** The first temporary folder all of whose parents the account may walk through. */
async function firstReachable(account: Account | null): Promise<string | null> {
  for (const start of [tmpdir(), '/tmp', '/var/tmp', '/dev/shm']) {
    if (!existsSync(start)) continue;
    if (account === null) return start;
    let reachable = true;
    for (let path = resolve(start); reachable; path = dirname(path)) {
      reachable = ((await stat(path)).mode & 0o001) !== 0;
      if (path === dirname(path)) break;
    }
    if (reachable) return start;
  }
  return null;
}

function createPostgresServer(
  programs: PostgresPrograms,
  folder: string,
  account: Account | null,
): PostgresServer & { initialize(): Promise<void> } {
  const data = join(folder, 'data');
  const password = randomBytes(12).toString('hex');
  const env = { ...process.env, ...programs.env, LC_ALL: 'C', PGPASSWORD: password };
  const identity = account ?? {};
  let port = 0;
  let log = '';
  let running: {
    readonly keeper: ChildProcess;
    readonly pid: number;
    readonly gone: Promise<unknown>;
  } | null = null;

  const run = async (program: string, args: readonly string[], input = ''): Promise<string> => {
    const child = spawn(join(programs.folder, program), args, {
      cwd: folder,
      env,
      ...identity,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    child.stdin.end(input);
    await once(child, 'close');
    if (child.exitCode !== 0) throw new Error(`${program} failed: ${stderr.trim() || stdout.trim()}`);
    return stdout.trim();
  };

  const launch = async (): Promise<void> => {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: '',
      fsync: 'on',
      synchronous_commit: 'on',
      shared_buffers: '16MB',
      max_connections: '40',
      jit: 'off',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    // The shell ends the server when its stdin closes, which the kernel does at the end of this
    // process. All processes of the server hold our end of stderr, and nothing else does.
    const script =
      'exec 3<&0; "$@" </dev/null & server=$!; echo $server; ' +
      '{ cat <&3; kill -QUIT $server; } >/dev/null 2>/dev/null & keeper=$!; ' +
      'exec 1>/dev/null 2>/dev/null; wait $server; code=$?; kill $keeper; exit $code';
    const keeper = spawn(
      '/bin/sh',
      ['-c', script, 'sh', join(programs.folder, 'postgres'), '-D', data, ...options],
      { cwd: folder, env, ...identity, stdio: ['pipe', 'pipe', 'pipe'] },
    );
    const gone = Promise.all([once(keeper, 'exit'), once(keeper.stderr, 'close')]);
    keeper.stdin.on('error', () => {});
    keeper.once('exit', () => keeper.stdin.destroy());
    const [line] = (await once(createInterface(keeper.stdout), 'line')) as [string];
    const began = log.length;
    await new Promise<void>((resolve, reject) => {
      keeper.stderr.on('data', (chunk) => {
        log += String(chunk);
        if (log.indexOf('ready to accept connections', began) >= 0) resolve();
      });
      gone.then(() => reject(new Error(`the server did not start: ${log.slice(began).trim()}`)));
    });
    running = { keeper, pid: Number(line), gone };
    gone.then(() => {
      if (running?.keeper === keeper) running = null;
    });
  };

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (running === null) return;
    const { pid, gone } = running;
    process.kill(pid, signal);
    await gone;
  };

  const urlOf = (database: string): string => `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
  const query: PostgresServer['query'] = (sql, database = 'postgres') =>
    run(
      'psql',
      ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(port)].concat([
        '-U',
        USER,
        '-d',
        database,
      ]),
      sql,
    );
  const createDatabase: PostgresServer['createDatabase'] = async (name) => {
    await query(`CREATE DATABASE "${name}"`);
    return urlOf(name);
  };

  return {
    get url() {
      return urlOf(DATABASE);
    },
    log: () => log,
    pid: () => running?.pid ?? null,
    createDatabase,
    query,
    stop: () => end('SIGINT'),
    kill: () => end('SIGKILL'),
    async start() {
      if (running === null) await launch();
    },
    async remove() {
      await end('SIGQUIT');
      await rm(folder, { recursive: true, force: true });
    },
    async initialize() {
      const passwordFile = join(folder, 'password');
      await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
      if (account !== null) await chown(passwordFile, account.uid, account.gid);
      await run('initdb', [
        ...['-D', data, '-U', USER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
        ...['--encoding', 'UTF8', '--locale', 'C.UTF-8', '--no-sync', '--no-instructions'],
      ]);
      await rm(passwordFile);
      for (let attempt = 1; ; attempt++) {
        port = await freePort();
        try {
          await launch();
          break;
        } catch (error) {
          // Between our look and the server's start somebody else may have taken the port.
          if (attempt === START_ATTEMPTS || !log.includes('could not bind')) throw error;
        }
      }
      await createDatabase(DATABASE);
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
