import { type BaseQuantise, quantPrecisions } from '@fleetlora/shared/protocol';
import { type Command, Option } from 'commander';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { renderBase } from '../render-base.js';

interface Options extends ConnectionOptions, BaseQuantise {
  readonly json?: boolean;
}

/** `fleetlora base quantise`. */
export function addBaseQuantise(base: Command, context: CliContext): void {
  withConnection(base.command('quantise'))
    .summary('make the weight file of another precision')
    .description(
      'Makes a weight file with the same channels and heads in blocks of 8-bit or 4-bit numbers, which\n' +
        'candidates of that precision run on: a search whose space offers `precisions` needs it. Every\n' +
        'adapter of the base fits it, and devices fetch it when they first need it.',
    )
    .argument('<base>', 'name or id of the base')
    .addOption(
      new Option('--precision <precision>', 'numbers of the weights')
        .choices(quantPrecisions)
        .makeOptionMandatory(),
    )
    .option('--json', 'print the base as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora base quantise tiny-llama-7m --precision q4
  fleetlora base quantise tiny-llama-7m --precision q8 --json | jq .files.q8`,
    )
    .action(async (source: string, { precision, json, ...connection }: Options) => {
      const api = await connect(context, connection);
      say(context, `writing the weight file in ${precision}`);
      const changed = await api.call('quantiseBase', { id: source, body: { precision } });
      printData(context, json, changed, (value) => renderBase(context, value));
    });
}
