import type { TuneOptions } from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import { decimal, integer } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { importDataset } from './dataset.js';
import { checkData, followTraining, renderTraining, writeAdapter } from './train.js';

interface Options extends ConnectionOptions, Partial<TuneOptions> {
  readonly candidate: string;
  readonly data?: string;
  readonly dataset?: string;
  readonly name?: string;
  readonly out?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

const optionNames = [
  'steps',
  'batchRows',
  'learningRate',
  'maxTokens',
  'threads',
  'seed',
] as const satisfies readonly (keyof TuneOptions)[];

/** `fleetlora adapter tune`. */
export function addAdapterTune(adapter: Command, context: CliContext): void {
  withConnection(adapter.command('tune'))
    .summary('train one chosen candidate a little more')
    .description(
      'A short training of one sub-network, from the factors it has in the super-adapter. It ends as an\n' +
        'adapter of its own, whose search space is that candidate alone; the super-adapter stays as it is.\n' +
        'Genomes are what `fleetlora search trials` and `search front` show with --json.',
    )
    .argument('<adapter>', 'name or id of the super-adapter')
    .requiredOption('--candidate <genome>', 'genome of the candidate, such as g1:u:...')
    .option('--data <file>', 'JSONL file, one {"prompt", "completion"} a line; imported first')
    .option('--dataset <dataset>', 'or imported data by name or id: its train split, else all of it')
    .option('--name <name>', 'name of the new adapter (ADAPTER-tuned)')
    .option('--out <dir>', 'folder for adapter_config.json and adapter_model.safetensors')
    .option('--steps <n>', 'optimiser steps', integer(1))
    .option('--batch-rows <n>', 'rows a step', integer(1, 65536))
    .option('--learning-rate <x>', 'peak of the cosine', decimal(0, 1))
    .option('--max-tokens <n>', 'longer rows lose tokens at their start', integer(8, 8192))
    .option('--threads <n>', 'processor threads', integer(1, 256))
    .option('--seed <n>', 'the same seed, data and options give the same adapter', integer(0, 2 ** 32 - 1))
    .option('--detach', 'return as soon as it runs, without writing a folder')
    .option('--json', 'print the finished training as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora adapter tune intents --candidate g1:u:8.8.8.8.576/16.16.8.8.384 --dataset banking77 --steps 100
  fleetlora adapter tune intents --candidate g1:u:8.8.8.8.576/16.16.8.8.384 --dataset banking77 \\
    --name intents-small --out ./intents-small`,
    )
    .action(async (source: string, options: Options) => {
      checkData(options);
      const api = await connect(context, options);
      const dataset =
        options.data === undefined
          ? await api.call('showDataset', { id: options.dataset ?? '' })
          : await importDataset(context, api, options.data);
      const chosen = optionNames.flatMap((name) =>
        options[name] === undefined ? [] : [[name, options[name]]],
      );
      const started = await api.call('tuneAdapter', {
        id: source,
        body: {
          name: options.name ?? `${source}-tuned`,
          candidate: options.candidate,
          dataset: dataset.id,
          options: Object.fromEntries(chosen),
        },
      });
      if (options.detach) {
        printData(context, options.json, started, (value) => renderTraining(context, value));
        return;
      }
      const finished = await followTraining(context, api, started.id);
      if (options.out !== undefined) await writeAdapter(context, api, finished, options.out);
      printData(context, options.json, finished, (value) => renderTraining(context, value));
    });
}
