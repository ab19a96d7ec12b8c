import type { Precision } from '@fleetlora/shared/space';
import { type Command, Option } from 'commander';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { renderBase } from '../render-base.js';
import { findGenome } from './adapter-export.js';

interface Options extends ConnectionOptions {
  readonly as: string;
  readonly candidate: string;
  readonly into?: Precision;
  readonly json?: boolean;
}

/** `fleetlora adapter merge`. */
export function addAdapterMerge(adapter: Command, context: CliContext): void {
  withConnection(adapter.command('merge'))
    .summary('merge a candidate into its base: a base of its own')
    .description(
      'Adds the adapter of a candidate to the weights. The new base alone computes what the candidate does;\n' +
        'what the candidate leaves out becomes zeros. A masked adapter keeps a sparse base as sparse, and\n' +
        'one trained masked in q8 or q4 goes into the numbers of that file, with the scales they have.',
    )
    .argument('<adapter>', 'name or id of the super-adapter')
    .requiredOption('--candidate <candidate>', 'genome, or SEARCH:TRIAL')
    .addOption(
      new Option('--into <precision>', 'precision (that of the candidate)').choices(['fp32', 'q8', 'q4']),
    )
    .requiredOption('--as <name>', 'name of the new base')
    .option('--json', 'print the base as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora adapter merge intents --candidate intents-pi5:12 --as intents-merged
  fleetlora adapter merge intents-q4 --candidate g1:u:16.16.16.16.768/8.8.8.8.768 --into q4 --as intents-int4`,
    )
    .action(async (id: string, options: Options) => {
      const api = await connect(context, options);
      const candidate = await findGenome(api, options.candidate);
      say(context, 'merging and writing the weight file');
      const { as: name, into } = options;
      const merged = await api.call('mergeAdapter', { id, body: { name, candidate, ...(into && { into }) } });
      printData(context, options.json, merged, (value) => renderBase(context, value));
    });
}
