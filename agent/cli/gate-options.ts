import type { Command } from 'commander';
import { defaultCoolWaitSeconds, defaultQuietWaitSeconds } from '../host/index.js';

/** What `gateWaitsOf` of the configuration takes. */
export interface GateOptions {
  readonly coolWait?: string;
  readonly quietWait?: string;
}

/** The options of every command that measures. No preset: the environment's comes first. */
export function addGateOptions(command: Command): Command {
  return command
    .option(
      '--cool-wait <seconds>',
      `longest wait until the machine is cool, before each session; 0 does not wait (default: ${defaultCoolWaitSeconds})`,
    )
    .option(
      '--quiet-wait <seconds>',
      `longest wait until other processes are quiet, the same (default: ${defaultQuietWaitSeconds})`,
    );
}
