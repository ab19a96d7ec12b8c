import { type CliContext, say } from './context.js';

/** Awaits `work`; when Ctrl-C ends it, says what goes on in the coordinator without us. */
export async function follow<T>(context: CliContext, work: Promise<T>, goesOn: string): Promise<T> {
  try {
    return await work;
  } finally {
    if (context.signal.aborted) say(context, goesOn);
  }
}
