import type { Command } from 'commander';
import { integer } from '../arguments.js';
import type { CliContext } from '../context.js';
import { assets } from '../demo/assets.js';
import { DEFAULT_TRAINING_STEPS } from '../demo/demo-settings.js';
import { runDemo } from '../demo/run-demo.js';

interface Options {
  readonly keep?: boolean;
  readonly report?: string;
  readonly train?: true | number;
  readonly trials: number;
  readonly adapter?: string;
  readonly space?: string;
  readonly data?: string;
  readonly json?: boolean;
}

/** `fleetlora demo`. */
export function addDemo(program: Command, context: CliContext): void {
  program
    .command('demo')
    .summary('show the whole path on this machine, in a few minutes')
    .description(
      'Starts a coordinator and one device on this machine (separate processes, free ports, a temporary\n' +
        "folder), searches the sub-networks of the demo's super-adapter by measuring them on the device,\n" +
        'pushes the best one and asks the device before and after. The task is real: tell the category of\n' +
        'a WordNet sense (45 of them) from its definition.',
    )
    .option('--keep', 'leave coordinator and device running')
    .option('--report <file>', 'write the figures as JSON')
    .option(
      '--train [steps]',
      `train the super-adapter here first (${DEFAULT_TRAINING_STEPS} steps)`,
      integer(1, 1_000_000),
    )
    .option('--trials <n>', 'distinct sub-networks to measure', integer(8, 10_000), 44)
    .option('--adapter <dir>', "another PEFT super-adapter of the demo's base")
    .option('--space <space>', 'another search space: preset or JSON file')
    .option('--data <file>', 'other JSONL rows to score on; the last ten are asked of the device')
    .option('--json', 'print the figures as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora demo
  fleetlora demo --keep
  fleetlora demo --train 200 --report demo.json`,
    )
    .action(async (options: Options) => {
      await runDemo(context, {
        keep: options.keep ?? false,
        reportFile: options.report ?? null,
        trainSteps: options.train === true ? DEFAULT_TRAINING_STEPS : (options.train ?? null),
        trials: options.trials,
        adapterFolder: options.adapter ?? assets.adapter,
        spaceFile: options.space ?? assets.space,
        dataFile: options.data ?? null,
        json: options.json ?? false,
      });
    });
}
