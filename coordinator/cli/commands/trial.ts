import type { Command } from 'commander';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderComparison } from '../render-comparison.js';

interface CompareOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** `fleetlora trial compare`. */
export function addTrial(program: Command, context: CliContext): void {
  const trial = program
    .command('trial')
    .summary('single trials: compare')
    .description('Single trials of searches.')
    .helpCommand(false);

  withConnection(trial.command('compare'))
    .summary('compare the costs of two trials, or say why they do not compare')
    .description(
      'By how much the second trial differs from the first, times with their 95 % interval. Candidates\n' +
        'that were measured as one batch are compared round by round, others by the medians of their\n' +
        'sessions. Trials that were not measured in the same way are refused, and what differs is named.',
    )
    .argument('<first>', 'SEARCH:TRIAL, such as intents-pi5:max or intents-pi5:17')
    .argument('<second>', 'the trial to compare with it')
    .option('--json', 'print the comparison as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora trial compare intents-pi5:max intents-pi5:17
  fleetlora trial compare intents-pi5:17 math-pi5:4 --json`,
    )
    .action(async (a: string, b: string, options: CompareOptions) => {
      const api = await connect(context, options);
      const comparison = await api.call('compareTrials', { query: { a, b } });
      printData(context, options.json, comparison, (value) => renderComparison(context, value, [a, b]));
    });
}
