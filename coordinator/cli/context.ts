import pc from 'picocolors';

export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Everything a command touches outside itself. Data goes to stdout, talk and progress to stderr. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: OutputStream & NodeJS.WritableStream;
  readonly stderr: OutputStream & NodeJS.WritableStream;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly colors: ReturnType<typeof pc.createColors>;
}

/** True when `stream` may be coloured: a terminal, NO_COLOR unset (or FORCE_COLOR set). */
export function wantsColor(stream: OutputStream, env: CliContext['env']): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** The context of this process. */
export function createProcessContext(signal: AbortSignal): CliContext {
  return {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    signal,
    colors: pc.createColors(wantsColor(process.stdout, process.env)),
  };
}

/** One line of talk, beside the data. */
export function say(context: CliContext, text: string): void {
  context.stderr.write(`${text}\n`);
}

/** One line of data. */
export function print(context: CliContext, text: string): void {
  context.stdout.write(`${text}\n`);
}

export function printJson(context: CliContext, value: unknown): void {
  print(context, JSON.stringify(value, null, 2));
}

/** Prints `value` as JSON when asked to, else what `render` makes of it. */
export function printData<T>(
  context: CliContext,
  json: boolean | undefined,
  value: T,
  render: (value: T) => string,
): void {
  if (json) printJson(context, value);
  else print(context, render(value));
}
