import { CommanderError } from 'commander';
import { createProcessContext } from './context.js';
import { exitCodeOf, explainError } from './explain-error.js';
import { createProgram } from './program.js';

const stopSignals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs one command of this process. The first Ctrl-C (or SIGTERM, SIGHUP) asks it to end in order,
 * a second one ends it at once.
 * @returns the exit code: 0 done, 1 failed, 2 used wrongly, 128 + n when ended by signal n
 */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  let stopCode: number | null = null;
  for (const [name, code] of Object.entries(stopSignals))
    process.on(name, () => {
      if (stopCode !== null) process.exit(code);
      stopCode = code;
      stop.abort();
    });
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });

  const context = createProcessContext(stop.signal);
  try {
    await createProgram(context).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    // --help and --version end this way too, with code 0; everything else is bad usage.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (stopCode !== null) return stopCode;
    context.stderr.write(`${explainError(error)}\n`);
    return exitCodeOf(error);
  }
}
