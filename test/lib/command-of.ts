import { createProgram, exitCodeOf, explainError } from '@fleetlora/coordinator/cli';
import { CommanderError } from 'commander';
import { memoryContext } from './memory-context.js';
import type { TestCoordinator } from './running-coordinator.js';

export interface CommandResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line in this process, as the binary does. */
export function commandOf({ url, token }: TestCoordinator): (...args: string[]) => Promise<CommandResult> {
  return async (...args) => {
    const memory = memoryContext();
    const context = { ...memory, env: { FLEETLORA_URL: url, FLEETLORA_TOKEN: token } };
    try {
      await createProgram(context).parseAsync(args, { from: 'user' });
      return { code: 0, out: memory.out(), err: memory.err() };
    } catch (error) {
      const code = error instanceof CommanderError ? 2 : exitCodeOf(error);
      const told = error instanceof CommanderError ? '' : explainError(error);
      return { code, out: memory.out(), err: memory.err() + told };
    }
  };
}
