import { runInNewContext } from 'node:vm';
import { CodedError } from '../errors.js';

/**
 * Runs synchronous work that a stranger's text steers (a template, a pattern) and ends it after
 * `timeoutMs`, however deep in a loop it is: V8 ends whatever was called from the script.
 * @param what names the work in the error
 * @throws BAD_REQUEST when it took longer, and whatever `work` throws
 */
export function runInTime<T>(work: () => T, timeoutMs: number, what: string): T {
  try {
    return runInNewContext('work()', { work }, { timeout: timeoutMs }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException)?.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new CodedError('BAD_REQUEST', `${what} was not done after ${timeoutMs} ms`, { cause: error });
  }
}
