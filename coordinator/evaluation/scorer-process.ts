import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CodedError } from '@fleetlora/shared/errors';
import { MiB } from '@fleetlora/shared/units';
import type { AnsweredRow, ForeignScorer, FromScorer, ScorerLimits, ToScorer } from './scorer-messages.js';

/** Seconds for what takes milliseconds, so that a busy machine never blames a good scorer. */
export const scorerLimits: ScorerLimits = { batchMs: 30_000, heapMegabytes: 256, residentBytes: 768 * MiB };

/** The process watches the time itself; one that is silent for this much longer is stuck. */
const GRACE_MS = 10_000;

/** What the process may read: the files it consists of, and where Node looks for their type. */
const readable = [new URL('./', import.meta.url), new URL('../../package.json', import.meta.url)];

/** Foreign scoring code at work. One call at a time. */
export interface ScorerProcess {
  /**
   * A verdict a row; null where a regex finds no answer in the expected text.
   * @throws SCORER_INVALID when the code fails, answers nonsense, or needs too much time or memory;
   *   CHILD_FAILED when its process ended for another reason. After either it is over.
   */
  judge(rows: readonly AnsweredRow[]): Promise<(boolean | null)[]>;
  /** True once it has failed or was closed. */
  readonly over: boolean;
  close(): void;
}

/**
 * Starts a process for a scorer and loads it: a pattern can run for ever and a module can do
 * anything, so neither runs in ours. Node's permission model takes files, child processes and
 * native code from it; a context without any global but the language's takes imports and network.
 * @throws as `judge`
 */
export async function startScorerProcess(
  scorer: ForeignScorer,
  limits: ScorerLimits = scorerLimits,
): Promise<ScorerProcess> {
  const child = spawnScorer();
  const name = scorer.kind === 'regex' ? `the pattern ${scorer.pattern}` : 'the scorer module';
  let over = false;
  let ended: string | null = null;
  let take: ((message: FromScorer | null) => void) | null = null;
  const settle = (message: FromScorer | null): void => {
    const taking = take;
    take = null;
    taking?.(message);
  };
  child.on('message', (message: FromScorer) => settle(message));
  child.on('error', (error) => {
    ended ??= error.message;
    settle(null);
  });
  child.on('exit', (exitCode, signal) => {
    ended ??= signal ?? `exit code ${exitCode}`;
    over = true;
    settle(null);
  });

  const ask = (message: ToScorer): Promise<FromScorer | null> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => {
        ended ??= `no answer within ${(limits.batchMs + GRACE_MS) / 1000} s`;
        settle(null);
      }, limits.batchMs + GRACE_MS);
      take = (answer) => {
        clearTimeout(timer);
        resolve(answer);
      };
      if (ended !== null) settle(null);
      else
        child.send(message, (error) => {
          // The exit, which may still come, says more; without one this is all there is.
          if (error) setImmediate(() => settle(null));
        });
    });
  const close = (): void => {
    over = true;
    child.kill('SIGKILL');
  };
  const request = async (message: ToScorer): Promise<FromScorer> => {
    const answer = await ask(message);
    if (answer === null || answer.kind === 'invalid') close();
    if (answer === null)
      throw new CodedError('CHILD_FAILED', `the process of ${name} ended with ${ended ?? 'no answer'}`);
    if (answer.kind === 'invalid') throw new CodedError('SCORER_INVALID', `${name} ${answer.why}`);
    return answer;
  };

  await request({ kind: 'load', scorer, limits });
  return {
    get over() {
      return over;
    },
    async judge(rows) {
      const answer = await request({ kind: 'score', rows });
      if (answer.kind !== 'verdicts' || answer.verdicts.length !== rows.length) {
        close();
        throw new CodedError('CHILD_FAILED', `the process of ${name} answered "${answer.kind}" to rows`);
      }
      return [...answer.verdicts];
    },
    close,
  };
}

/**
 * @source Node.js documentation, "Permissions": `--permission` since 22.13, before it
 *   `--experimental-permission`; both deny writing, child processes, addons and WASI
 */
function spawnScorer(): ChildProcess {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const permission =
    major > 22 || (major === 22 && minor >= 13) ? '--permission' : '--experimental-permission';
  return fork(new URL('./scorer-child.js', import.meta.url), [], {
    execArgv: [
      permission,
      '--allow-worker',
      ...readable.map((url) => `--allow-fs-read=${fileURLToPath(url)}`),
      '--experimental-vm-modules',
      '--disallow-code-generation-from-strings',
      '--no-warnings',
    ],
    env: {},
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'json',
  });
}
