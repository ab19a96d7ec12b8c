import { defaultCalibrationRows } from '@fleetlora/shared/protocol';
import { type Command, InvalidArgumentError } from 'commander';
import { integer } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { renderBase } from '../render-base.js';

interface Options extends ConnectionOptions {
  readonly as: string;
  readonly sparsity: number;
  readonly calibration: string;
  readonly calibrationRows?: number;
  readonly json?: boolean;
}

/** Parser of a share between 0 and 1, both left out. */
function share(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError('Wanted a number above 0 and below 1.');
}

/** `fleetlora base prune`. */
export function addBasePrune(base: Command, context: CliContext): void {
  withConnection(base.command('prune'))
    .summary('make a sparse base: the least important weights become 0')
    .description(
      'Of the weights of each output, the share whose size times the norm of its input is smallest becomes\n' +
        '0 (Wanda). The norms are measured on rows of imported data. The sparse base is one of its own; what\n' +
        'is trained on it with `fleetlora train --masked` can be merged and leaves it as sparse.',
    )
    .argument('<base>', 'name or id of the base')
    .requiredOption('--as <name>', 'name of the sparse base')
    .option('--sparsity <share>', 'share of zeros', share, 0.5)
    .requiredOption('--calibration <dataset>', 'imported data by name or id: its train split, else all of it')
    .option('--calibration-rows <n>', `rows of it (${defaultCalibrationRows})`, integer(1, 65536))
    .option('--json', 'print the base as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  fleetlora base prune tiny-llama-7m --as tiny-half --sparsity 0.5 --calibration banking77',
    )
    .action(async (id: string, options: Options) => {
      const api = await connect(context, options);
      say(context, 'calibrating and writing the weight file');
      const { calibration: dataset, calibrationRows: rows } = options;
      const body = {
        name: options.as,
        sparsity: options.sparsity,
        calibration: { dataset, ...(rows !== undefined && { rows }) },
      };
      const pruned = await api.call('pruneBase', { id, body });
      printData(context, options.json, pruned, (value) => renderBase(context, value));
    });
}
