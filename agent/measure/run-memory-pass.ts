import { MemoryPass, parseAs } from '@fleetlora/shared/protocol';
import { type ChildOutcome, runChild } from '../child/index.js';
import type { PassRequest } from './measure-task.js';
import { watchAnonymous } from './watch-anonymous.js';

/** The memory pass in a process of its own, watched from outside. */
export async function runMemoryPass(
  request: PassRequest,
  run: { readonly entry: URL; readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<ChildOutcome<MemoryPass>> {
  const watch = watchAnonymous();
  try {
    const outcome = await runChild({
      ...run,
      request,
      parse: (answer) => parseAs(MemoryPass, answer, 'memory pass'),
      onStarted: watch.begin,
      onProgress: watch.forget,
    });
    if (outcome.kind !== 'answered') return outcome;
    const { answer } = outcome;
    return {
      kind: 'answered',
      answer: { ...answer, anonymousBytes: Math.max(answer.anonymousBytes, watch.largestBytes()) },
    };
  } finally {
    watch.end();
  }
}
