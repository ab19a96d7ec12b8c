import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { type Training, TrainingOptions } from '@fleetlora/shared/protocol';
import { formatSeconds } from '@fleetlora/shared/units';
import { type Command, Option } from 'commander';
import type { ApiClient } from '../api-client.js';
import { decimal, integer, readSpace, spaceChoices, toName } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { follow } from '../follow.js';
import { startProgress } from '../progress.js';
import { renderFields, renderTable } from '../table.js';
import { waitFor } from '../wait-for.js';
import { importDataset } from './dataset.js';

interface TrainOptions extends ConnectionOptions, Partial<TrainingOptions> {
  readonly base: string;
  readonly data?: string;
  readonly dataset?: string;
  readonly space: string;
  readonly out: string;
  readonly name?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

/** `fleetlora train`. */
export function addTrain(program: Command, context: CliContext): void {
  withConnection(program.command('train'))
    .summary('train a super-adapter')
    .description(
      'Trains one LoRA whose sub-networks (ranks, FFN widths, heads, layers) all work, on the processor of\n' +
        'the coordinator. Shows loss, tokens/s and time left; at the end writes it to DIR in PEFT format and\n' +
        'registers it for searches. Ctrl-C leaves the training running; `fleetlora training` shows and stops it.',
    )
    .requiredOption('--base <base>', 'name or id of the base')
    .option('--data <file>', 'JSONL file, one {"prompt", "completion"} a line; imported first')
    .option('--dataset <dataset>', 'or imported data by name or id: its train split, else all of it')
    .requiredOption('--space <space>', `search space: ${spaceChoices}`)
    .requiredOption('--out <dir>', 'folder for adapter_config.json and adapter_model.safetensors')
    .option('--name <name>', 'name of the adapter (the name of DIR)')
    .option('--from <adapter>', 'super-adapter whose factors it starts with')
    .option('--steps <n>', 'optimiser steps', integer(1))
    .option('--batch-rows <n>', 'rows a step', integer(1, 65536))
    .option('--learning-rate <x>', 'peak of the cosine', decimal(0, 1))
    .option('--warmup-steps <n>', 'steps of linear warm-up', integer(0))
    .option('--weight-decay <x>', 'of AdamW', decimal(0, 1))
    .option('--clip-norm <x>', 'largest gradient norm', decimal(0, 1e6))
    .addOption(
      new Option('--sampling <kind>', 'which sub-networks a step trains').choices(
        TrainingOptions.properties.sampling.enum,
      ),
    )
    .addOption(
      new Option('--precision <precision>', 'numbers of the base that it trains beside').choices(
        TrainingOptions.properties.precision.enum,
      ),
    )
    .option('--masked', 'count only where a sparse base is not 0, so that merging keeps it as sparse')
    .option('--random-subnets <n>', 'random sub-networks a step', integer(0, 16))
    .option(
      '--distil <share>',
      'part of their loss in which smaller sub-networks learn from the largest',
      decimal(0, 1),
    )
    .option('--max-tokens <n>', 'longer rows lose tokens at their start', integer(8, 8192))
    .option('--checkpoint-every-steps <n>', 'steps between checkpoints', integer(1))
    .option('--threads <n>', 'processor threads', integer(1, 256))
    .option('--seed <n>', 'the same seed, data and options give the same adapter', integer(0, 2 ** 32 - 1))
    .option('--detach', 'return as soon as it runs, without writing DIR')
    .option('--json', 'print the finished training as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora train --base tiny-llama-7m --data train.jsonl --space lonas --out ./adapter
  fleetlora train --base tiny-llama-7m --dataset banking77 --space lonas --out ./adapter
  fleetlora train --base smol --data train.jsonl --space my-space.json --out ./adapter \\
    --steps 600 --batch-rows 64 --learning-rate 3e-3 --seed 7`,
    )
    .action(async (options: TrainOptions) => {
      checkData(options);
      const space = await readSpace(options.space);
      const api = await connect(context, options);
      const dataset =
        options.data === undefined
          ? await api.call('showDataset', { id: options.dataset ?? '' })
          : await importDataset(context, api, options.data);
      const started = await api.call('startTraining', {
        body: {
          name: options.name ?? toName(basename(resolve(options.out))),
          base: options.base,
          dataset: dataset.id,
          space,
          options: pickTrainingOptions(options),
        },
      });
      if (options.detach) {
        printData(context, options.json, started, (value) => renderTraining(context, value));
        return;
      }
      const finished = await followTraining(context, api, started.id);
      await writeAdapter(context, api, finished, options.out);
      printData(context, options.json, finished, (value) => renderTraining(context, value));
    });
}

/** @throws BAD_USAGE unless the data is named in just one way */
export function checkData({ data, dataset }: Pick<TrainOptions, 'data' | 'dataset'>): void {
  if (data === undefined && dataset === undefined)
    throw new CodedError('BAD_USAGE', 'no data was given, wanted --data FILE or --dataset NAME');
  if (data !== undefined && dataset !== undefined)
    throw new CodedError('BAD_USAGE', '--data and --dataset were both given, wanted one of them');
}

const optionNames = [
  'steps',
  'batchRows',
  'learningRate',
  'warmupSteps',
  'weightDecay',
  'clipNorm',
  'sampling',
  'randomSubnets',
  'maxTokens',
  'checkpointEverySteps',
  'threads',
  'seed',
  'from',
  'distil',
  'precision',
  'masked',
] as const satisfies readonly (keyof TrainingOptions)[];

function pickTrainingOptions(options: Partial<TrainingOptions>): Partial<TrainingOptions> {
  return Object.fromEntries(
    optionNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
}

export const followTraining = (context: CliContext, api: ApiClient, id: string): Promise<Training> =>
  follow(
    context,
    watchTraining(context, api, id),
    `the training goes on: fleetlora training show ${id} --wait, fleetlora training stop ${id}`,
  );

/**
 * Follows a training until it ends.
 * @throws CHILD_FAILED when it failed, STATE_CONFLICT when it was stopped
 */
export async function watchTraining(context: CliContext, api: ApiClient, id: string): Promise<Training> {
  const { options, name } = await api.call('showTraining', { id });
  const progress = startProgress(context, {
    title: `train ${name}`,
    total: options.steps,
    unit: 'steps',
    lineEveryMs: 10_000,
  });
  try {
    const ended = await waitFor(
      () => api.call('showTraining', { id }),
      (training) => training.state !== 'running',
      {
        signal: context.signal,
        everyMs: 1000,
        onAnswer: (training) => progress.update(training.step, describeProgress(training)),
      },
    );
    if (ended.state === 'failed')
      throw new CodedError('CHILD_FAILED', `training ${id} failed: ${ended.error ?? 'no reason given'}`);
    if (ended.state === 'stopped')
      throw new CodedError('STATE_CONFLICT', `training ${id} was stopped at step ${ended.step}`);
    progress.finish(describeProgress({ ...ended, etaSeconds: null }));
    return ended;
  } finally {
    progress.abandon();
  }
}

/** "loss 1.234, 812 tokens/s, 3 m 20 s left, waits: the machine measures", as far as known. */
export function describeProgress(
  training: Pick<Training, 'loss' | 'tokensPerSecond' | 'etaSeconds' | 'waitReason'>,
): string {
  const parts: string[] = [];
  if (training.loss !== null) parts.push(`loss ${training.loss.toFixed(3)}`);
  if (training.tokensPerSecond !== null) parts.push(`${Math.round(training.tokensPerSecond)} tokens/s`);
  if (training.etaSeconds !== null) parts.push(`${formatSeconds(training.etaSeconds)} left`);
  if (training.waitReason) parts.push(`waits: ${training.waitReason}`);
  return parts.join(', ');
}

/** Writes the trained adapter's PEFT files to `folder`. */
export async function writeAdapter(
  context: CliContext,
  api: ApiClient,
  training: Training,
  folder: string,
): Promise<void> {
  const adapter = (await api.call('listAdapters')).find(({ id }) => id === training.adapterId);
  if (!adapter) throw new CodedError('NOT_FOUND', `training ${training.id} ended without an adapter`);
  await mkdir(folder, { recursive: true });
  for (const [file, digest] of Object.entries(adapter.files)) {
    await api.download(digest, join(folder, file));
    say(context, `wrote ${join(folder, file)}`);
  }
}

export function renderTraining(context: CliContext, training: Training): string {
  return renderFields(context, [
    ['training', `${training.name}  ${training.id}`],
    ['state', training.state],
    ['step', `${training.step} of ${training.options.steps}`],
    ['progress', describeProgress(training) || null],
    ['adapter', training.adapterId],
    ...(training.error === null ? [] : [['error', training.error] as const]),
  ]);
}

interface TrainingCommandOptions extends ConnectionOptions {
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** `fleetlora training list|show|stop`. */
export function addTraining(program: Command, context: CliContext): void {
  const training = program
    .command('training')
    .summary('running and past trainings: list, show, stop')
    .description('Running and past trainings.')
    .helpCommand(false);

  withConnection(training.command('list'))
    .summary('list the trainings')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora training list')
    .action(async (options: TrainingCommandOptions) => {
      const trainings = await (await connect(context, options)).call('listTrainings');
      printData(context, options.json, trainings, (rows) =>
        renderTable(
          context,
          [
            { title: 'name', value: (row) => row.name },
            { title: 'state', value: (row) => row.state },
            { title: 'step', align: 'right', value: (row) => `${row.step}/${row.options.steps}` },
            { title: 'progress', value: (row) => describeProgress(row) },
            { title: 'id', value: (row) => row.id },
          ],
          rows,
          'no training yet: fleetlora train',
        ),
      );
    });

  withConnection(training.command('show'))
    .summary('show one training')
    .argument('<training>', 'id')
    .option('--wait', 'follow it until it ends')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora training show trn_01j... --wait')
    .action(async (id: string, options: TrainingCommandOptions) => {
      const api = await connect(context, options);
      const shown = options.wait
        ? await followTraining(context, api, id)
        : await api.call('showTraining', { id });
      printData(context, options.json, shown, (value) => renderTraining(context, value));
    });

  withConnection(training.command('stop'))
    .summary('stop a training')
    .argument('<training>', 'id')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora training stop trn_01j...')
    .action(async (id: string, options: TrainingCommandOptions) => {
      const stopped = await (await connect(context, options)).call('stopTraining', { id });
      printData(context, options.json, stopped, (value) => renderTraining(context, value));
    });
}
