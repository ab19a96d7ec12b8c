import type { Printer } from './printer.js';

/** Everything a command touches outside itself. */
export interface CommandContext {
  readonly printer: Printer;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}
