import { CommanderError } from 'commander';
import { exitCodeOf, explainError } from './explain-error.js';
import { createPrinter } from './printer.js';
import { createProgram } from './program.js';

/**
 * Runs one command line.
 * @param args without the program's own name
 * @returns exit code: 0 done, 1 failed, 2 used wrongly
 */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      // The first request ends the command in order, the second one at once.
      if (stop.signal.aborted) process.exit(1);
      stop.abort(name);
    });
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });
  try {
    const printer = createPrinter(process.stdout, process.stderr);
    await createProgram({ printer, env: process.env, signal: stop.signal }).parseAsync(args, {
      from: 'user',
    });
    return 0;
  } catch (error) {
    // --help and --version end this way too, with code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${explainError(error)}\n`);
    return exitCodeOf(error);
  }
}
