import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@fleetlora/shared/errors';

/** A process that ignores SIGTERM for this long is killed. */
const PATIENCE_MS = 8000;

export interface Processes {
  /** Aborted, with the reason, when a process ends that should have stayed. */
  readonly signal: AbortSignal;
  /** Starts `node ...args` in a process group of its own; its output goes to `logFile`. */
  start(name: string, args: readonly string[], logFile: string): ChildProcess;
  /** Runs `node ...args` to its end and returns what it wrote to stdout. @throws CHILD_FAILED */
  run(name: string, args: readonly string[]): Promise<string>;
  /** Ends all that run: SIGTERM, then SIGKILL. */
  stop(): Promise<void>;
  /** Process id of a started process. */
  pidOf(name: string): number | undefined;
  /** Leaves them running when this process ends. */
  release(): void;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

/**
 * Child processes that never outlive this one, unless released: they are ended by `stop`, and
 * killed when this process exits for any reason that it notices. Each leads a process group, so
 * that Ctrl-C reaches them through us, in order, and their own children go with them.
 */
export function createProcesses(env: Readonly<Record<string, string | undefined>>): Processes {
  const running = new Set<Running>();
  const pids = new Map<string, number | undefined>();
  const failure = new AbortController();
  let stopping = false;

  const killGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Already gone.
    }
  };
  const killAll = (): void => {
    for (const { child } of running) killGroup(child, 'SIGKILL');
  };
  process.on('exit', killAll);

  const spawnNode = (args: readonly string[], output: number | 'pipe'): ChildProcess =>
    spawn(process.execPath, args, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...env, NO_COLOR: '1' } as NodeJS.ProcessEnv,
    });
  const track = (child: ChildProcess): Running => {
    const entry: Running = {
      child,
      ended: new Promise((resolve) => {
        child.once('close', () => {
          running.delete(entry);
          resolve();
        });
        child.once('error', () => {
          running.delete(entry);
          resolve();
        });
      }),
    };
    running.add(entry);
    return entry;
  };

  return {
    signal: failure.signal,
    start(name, args, logFile) {
      const log = openSync(logFile, 'a', 0o600);
      const child = spawnNode(args, log);
      closeSync(log);
      track(child);
      pids.set(name, child.pid);
      child.once('exit', (code, signal) => {
        if (stopping) return;
        const how = signal === null ? `exit code ${code}` : signal;
        const reason = `the ${name} ended early with ${how}; the end of ${logFile}:\n${lastLines(logFile, 12)}`;
        failure.abort(new CodedError('CHILD_FAILED', reason));
      });
      return child;
    },
    async run(name, args) {
      const child = spawnNode(args, 'pipe');
      const { ended } = track(child);
      const text = { stdout: '', stderr: '' };
      child.stdout?.on('data', (chunk) => {
        text.stdout += String(chunk);
      });
      child.stderr?.on('data', (chunk) => {
        text.stderr += String(chunk);
      });
      await ended;
      if (child.exitCode !== 0)
        throw new CodedError(
          'CHILD_FAILED',
          `${name} ended with ${child.signalCode ?? `exit code ${child.exitCode}`}: ${text.stderr.trim() || text.stdout.trim()}`,
        );
      return text.stdout;
    },
    pidOf: (name) => pids.get(name),
    async stop() {
      stopping = true;
      const entries = [...running];
      for (const { child } of entries) killGroup(child, 'SIGTERM');
      const patience = new AbortController();
      const allEnded = Promise.all(entries.map(({ ended }) => ended));
      await Promise.race([
        allEnded,
        sleep(PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => {}),
      ]);
      patience.abort();
      killAll();
      await allEnded;
      process.off('exit', killAll);
    },
    release() {
      stopping = true;
      process.off('exit', killAll);
      for (const { child } of running) child.unref();
      running.clear();
    },
  };
}

function lastLines(path: string, count: number): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
}
