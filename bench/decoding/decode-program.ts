import { fork } from 'node:child_process';
import type { DecodeAnswer, DecodeAsk } from './decode-messages.js';

/** A program that has loaded a model and decodes when asked. */
export interface DecodeProgram {
  ask(what: DecodeAsk): Promise<DecodeAnswer>;
  close(): Promise<void>;
}

/** All programs get large pages for what they allocate, as the agent's children do. */
const environment = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };

/**
 * Starts a program and waits until its model is loaded.
 * @throws when it ends without having said so, with the last of what it wrote to stderr
 */
export async function startDecodeProgram(entry: URL | string, spec: unknown): Promise<DecodeProgram> {
  const child = fork(entry, [JSON.stringify(spec)], {
    execArgv: [],
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-2000);
  });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${String(entry)} ended with ${code}: ${stderr}`)));
  });
  // Who asks is told; a program that ends when it is closed is no error.
  ended.catch(() => {});
  const next = <T>(): Promise<T> =>
    Promise.race([ended, new Promise<T>((resolve) => child.once('message', (value) => resolve(value as T)))]);
  await next();
  return {
    ask(what) {
      const answer = next<DecodeAnswer>();
      child.send(what);
      return answer;
    },
    async close() {
      // Native threads of either may outlive a polite request.
      child.kill('SIGKILL');
      await ended.catch(() => {});
    },
  };
}
