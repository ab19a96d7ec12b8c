import { type ChildProcess, fork } from 'node:child_process';
import { type ErrorKind, errorTable } from '@fleetlora/shared/errors';

/**
 * How a one-shot child process ended. A death is an ordinary outcome here: a candidate that
 * brings its process down is a finding about the candidate.
 */
export type ChildOutcome<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  /** The child caught an error and told it. */
  | { readonly kind: 'threw'; readonly code: string; readonly errorKind: ErrorKind; readonly message: string }
  /** The child ended without an answer. */
  | { readonly kind: 'died'; readonly signal: NodeJS.Signals | null; readonly exitCode: number | null }
  | { readonly kind: 'timedOut'; readonly afterMs: number }
  | { readonly kind: 'canceled' };

export interface ChildTask<T> {
  /** Compiled module that calls `answerParent`. */
  readonly entry: URL;
  /** JSON value handed to it. */
  readonly request: unknown;
  /** Checks what it answers; throws when the answer does not fit. */
  readonly parse: (answer: unknown) => T;
  /** After this the child is killed. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Of the process; this one's when absent. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Told the process id as soon as there is one. */
  readonly onStarted?: (pid: number) => void;
  /** Told everything the child says before its answer. */
  readonly onProgress?: (value: unknown) => void;
}

/** Most of a child's stderr that is kept to explain its death. */
const MAX_STDERR = 2000;

/**
 * Runs one task in a fresh process and waits for its end.
 *
 * The outcome is settled by the process's `close`, never by its answer alone: when this returns,
 * the child holds no memory, file or core any more. A child whose parent dies ends itself.
 */
export function runChild<T>(task: ChildTask<T>): Promise<ChildOutcome<T>> {
  if (task.signal?.aborted) return Promise.resolve({ kind: 'canceled' });
  return new Promise((resolve, reject) => {
    const child = spawnChild(task.entry, task.environment);
    let said: ChildOutcome<T> | null = null;
    let ended: ChildOutcome<T> | null = null;
    const stop = (outcome: ChildOutcome<T>): void => {
      ended ??= outcome;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => stop({ kind: 'timedOut', afterMs: task.timeoutMs }), task.timeoutMs);
    const cancel = (): void => stop({ kind: 'canceled' });
    task.signal?.addEventListener('abort', cancel, { once: true });

    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-MAX_STDERR);
    });
    child.on('message', (value) => {
      if (said) return;
      const spoken = parseSpoken(value);
      if (spoken?.kind === 'progress') task.onProgress?.(spoken.value);
      else if (spoken?.kind === 'error')
        said = { kind: 'threw', code: spoken.code, errorKind: kindOf(spoken.code), message: spoken.message };
      else if (spoken?.kind === 'answer') {
        try {
          said = { kind: 'answered', answer: task.parse(spoken.value) };
        } catch (error) {
          said = {
            kind: 'threw',
            code: 'BUG',
            errorKind: 'bug',
            message: `the child's answer does not fit: ${(error as Error).message}`,
          };
        }
      }
    });
    const finish = (): void => {
      clearTimeout(timer);
      task.signal?.removeEventListener('abort', cancel);
    };
    child.on('error', (error) => {
      finish();
      reject(error);
    });
    child.on('close', (exitCode, signal) => {
      finish();
      const died = isAllocationFailure(stderr)
        ? ({ kind: 'died', signal: signal ?? 'SIGABRT', exitCode } as const)
        : ({ kind: 'died', signal, exitCode } as const);
      // An answer that came before a death in the last moments of a process still counts.
      resolve(ended ?? said ?? died);
    });
    if (child.pid !== undefined) task.onStarted?.(child.pid);
    child.send({ request: task.request }, () => {
      // A child that died before it could read is reported by `close`.
    });
  });
}

/**
 * Starts a child without the parent's debugger flags. Its stdout is not read: native libraries
 * may print there.
 */
export function spawnChild(entry: URL, environment = process.env): ChildProcess {
  return fork(entry, [], {
    execArgv: [],
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'json',
  });
}

/**
 * `mmap_threshold`: blocks below 32 MiB come from the heap, which huge pages back; a block of its own
 * would have to be as large as one. `arena_max`: a thread that reads a file has an arena of its own,
 * and with it a huge page.
 * @source glibc manual, Memory Allocation Tunables
 */
const hugePages = [
  'glibc.malloc.hugetlb=1',
  'glibc.malloc.arena_max=2',
  `glibc.malloc.mmap_threshold=${32 * 1024 * 1024}`,
];

/**
 * This process's environment, and a word to the C library to ask for huge pages, which the kernel
 * gives where it can. A user's own word is kept; other C libraries ignore it.
 *
 * Which of its many small pages a model's weights get is luck that stays for the life of a process
 * and makes it up to a tenth slower; of huge pages there are few to be unlucky with.
 */
export function hugePageEnvironment(): NodeJS.ProcessEnv {
  const found = process.env.GLIBC_TUNABLES?.split(':') ?? [];
  const named = new Set(found.map((tunable) => tunable.split('=')[0]));
  const added = hugePages.filter((tunable) => !named.has(tunable.split('=')[0]));
  return { ...process.env, GLIBC_TUNABLES: [...found, ...added].join(':') };
}

type Spoken =
  | { kind: 'answer'; value: unknown }
  | { kind: 'progress'; value: unknown }
  | { kind: 'error'; code: string; message: string };

function parseSpoken(value: unknown): Spoken | null {
  if (typeof value !== 'object' || value === null) return null;
  const spoken = value as { kind?: unknown; value?: unknown; code?: unknown; message?: unknown };
  if (spoken.kind === 'answer' || spoken.kind === 'progress')
    return { kind: spoken.kind, value: spoken.value };
  if (spoken.kind === 'error')
    return { kind: 'error', code: String(spoken.code), message: String(spoken.message).slice(0, 3000) };
  return null;
}

function kindOf(code: string): ErrorKind {
  return (errorTable as Readonly<Record<string, ErrorKind>>)[code] ?? 'bug';
}

const ALLOCATION_FAILURE =
  /bad_alloc|failed to allocate memory|array buffer allocation failed|out of memory|cannot allocate memory/i;

/** True when a message says that memory ran out, whatever layer said it. */
export function isAllocationFailure(message: string): boolean {
  return ALLOCATION_FAILURE.test(message);
}
