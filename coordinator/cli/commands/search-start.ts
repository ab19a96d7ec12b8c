import { CodedError } from '@fleetlora/shared/errors';
import type { CostObjective, Front, QualityObjective, SearchStart } from '@fleetlora/shared/protocol';
import {
  completePlan,
  costObjectives,
  defaultMeasurePlan,
  limits,
  maxSustainedSeconds,
  qualityObjectives,
  strategies,
} from '@fleetlora/shared/protocol';
import { type Command, Option } from 'commander';
import type { ApiClient } from '../api-client.js';
import { collect, integer, readSpace, spaceChoices } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderFront } from '../front-table.js';
import { rowCounts } from '../row-counts.js';
import { followSearch, renderSearch } from '../watch-search.js';

/** Tokens of a row: those of an intent with its label, and of a problem with its worked solution. */
const ROW_TOKENS = 64;
const GENERATION_TOKENS = 512;

interface StartOptions extends ConnectionOptions {
  readonly adapter: string;
  readonly dataset: string;
  readonly class?: string;
  readonly name?: string;
  readonly strategy: SearchStart['strategy'];
  readonly quality: QualityObjective;
  readonly cost?: string[];
  readonly trials: number;
  readonly seed: number;
  readonly scoreRows?: number;
  readonly finalRows?: number;
  readonly finalPoints: number;
  readonly require?: string[];
  readonly space?: string;
  readonly promptTokens: number;
  readonly kvTokens: number;
  readonly threads: number;
  readonly maxTokens?: number;
  readonly ahead: number;
  readonly sessions: number;
  readonly sustained: number;
  readonly batch?: number;
  readonly sentinelEvery?: number;
  readonly besideSentinel: boolean;
  readonly qualifiedOnly?: boolean;
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** `fleetlora search start`. */
export function addSearchStart(search: Command, context: CliContext): void {
  const plan = defaultMeasurePlan;
  withConnection(search.command('start'))
    .summary('start a search')
    .description(
      'Searches the sub-networks of a super-adapter for the best trade-offs on one class of devices.\n' +
        'Max (unmerged and merged), middle and min are always measured first. The search runs in the\n' +
        'coordinator and survives its restart; --wait follows it here.',
    )
    .requiredOption('--adapter <adapter>', 'name or id of the super-adapter')
    .requiredOption('--dataset <dataset>', 'name or id of the rows it is scored on')
    .option('--class <name>', 'device class (the only one, when there is just one)')
    .option('--name <name>', 'name of the search (made from adapter and class)')
    .addOption(
      new Option(
        '--strategy <strategy>',
        'how candidates are proposed: by evolution, by chance, uniform ones and then single steps around the ' +
          'front, or single steps from the middle',
      )
        .choices(strategies)
        .default('nsga2'),
    )
    .addOption(
      new Option('--quality <objective>', 'what to keep high').choices(qualityObjectives).default('loss'),
    )
    .option(
      `--cost <objective>`,
      `what to keep low: ${costObjectives.join(', ')}; repeat for several (decodeMs)`,
      collect,
    )
    .option('--trials <n>', 'distinct candidates to measure', integer(1, 100_000), 40)
    .option(
      '--require <limit>',
      'limit for the chosen point, such as accuracy>=max-1.0 or peakBytes<=200MB; repeat',
      collect,
    )
    .option('--space <space>', `search space: ${spaceChoices} (the adapter's own)`)
    .option(
      '--score-rows <n>',
      'rows of the cheap score: of the validation split, else of test, else of all (200, or as many as there are)',
      integer(1, 1_000_000),
    )
    .option(
      '--final-rows <n>',
      'held-out rows on which front and baselines are scored again: of the test split where a ' +
        'validation split gave the others, else what these left (1000, or as many as there are)',
      integer(0, 1_000_000),
    )
    .option('--final-points <n>', 'points of the front that are scored again', integer(0, 64), 8)
    .option(
      '--prompt-tokens <n>',
      'prompt length of the time to first token',
      integer(1, 8192),
      plan.promptTokens,
    )
    .option('--kv-tokens <n>', 'cache length of the time per output token', integer(1, 8192), plan.kvTokens)
    .option('--threads <n>', 'threads of the device', integer(1, 256), plan.threads)
    .option(
      '--sessions <n>',
      'fresh sessions of a measurement, each in a process of its own; from 5 on their spread says something',
      integer(1, limits.sessions),
      completePlan(plan).sessions,
    )
    .option(
      '--sustained <seconds>',
      'run each candidate on for so long, which shows what heat costs',
      integer(0, maxSustainedSeconds),
      0,
    )
    .option(
      '--batch <n>',
      'candidates of one shape that a device compares in one job (4 where they differ in ranks alone, else 1)',
      integer(1, limits.batch),
    )
    .option(
      '--sentinel-every <n>',
      'jobs after which a device measures the same candidate again, so that drift shows; 0 never (8)',
      integer(0, 1000),
    )
    .option(
      '--no-beside-sentinel',
      'time no candidate in turns with the sentinel: jobs are shorter, and a machine whose speed changes ' +
        'ranks them wrongly',
    )
    .option('--qualified-only', 'give jobs to devices that were found steady, and to no others')
    .option(
      '--max-tokens <n>',
      'longer rows lose tokens at their start (64, 512 for data whose answers are generated)',
      integer(8, 8192),
    )
    .option(
      '--ahead <n>',
      'jobs that a device holds at once: more keep it busy over a slow link, each proposed knowing less',
      integer(1, 64),
      1,
    )
    .option('--seed <n>', 'seed of the proposals and of the choice of rows', integer(0, 2 ** 32 - 1), 1)
    .option('--wait', 'follow it until it ends, then show the front')
    .option('--json', 'print the search (with --wait: the front) as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora search start --adapter intents --dataset intents-test --wait
  fleetlora search start --adapter intents --dataset intents-test --class raspberry-pi-5 \\
    --cost decodeMs --cost peakBytes --trials 120 --require 'accuracy>=max-1.0' --require 'peakBytes<=200MB'
  fleetlora search start --adapter intents --dataset intents-test --space ranks.json --batch 8 --qualified-only
  fleetlora search start --adapter math --dataset gsm8k --quality accuracy --max-tokens 1024 --wait`,
    )
    .action(async (options: StartOptions) => {
      const costs = checkCosts(options.cost ?? ['decodeMs']);
      const space = options.space === undefined ? undefined : await readSpace(options.space);
      const api = await connect(context, options);
      const deviceClass = options.class ?? (await onlyDeviceClass(api));
      const dataset = await api.call('showDataset', { id: options.dataset });
      const body: SearchStart = {
        name: options.name ?? nameOf(options.adapter, deviceClass, new Date()),
        adapter: options.adapter,
        dataset: options.dataset,
        deviceClass,
        strategy: options.strategy,
        quality: options.quality,
        costs,
        trials: options.trials,
        seed: options.seed,
        ...rowCounts(dataset, options),
        finalPoints: options.finalPoints,
        require: options.require ?? [],
        plan: {
          ...plan,
          promptTokens: options.promptTokens,
          kvTokens: options.kvTokens,
          threads: options.threads,
          sessions: options.sessions,
          ...(options.sustained > 0 && { sustainedSeconds: options.sustained }),
        },
        maxTokens: options.maxTokens ?? (dataset.task.kind === 'generation' ? GENERATION_TOKENS : ROW_TOKENS),
        ahead: options.ahead === 1 ? undefined : options.ahead,
        batch: options.batch,
        sentinelEvery: options.sentinelEvery,
        besideSentinel: options.besideSentinel ? undefined : false,
        qualifiedOnly: options.qualifiedOnly,
        space,
      };
      const started = await api.call('startSearch', { body });
      if (!options.wait) {
        printData(context, options.json, started, (value) => renderSearch(context, value));
        return;
      }
      await followSearch(context, api, started.id);
      const front = await api.call('showFront', { id: started.id });
      printData(
        context,
        options.json,
        front,
        (value) =>
          `${renderFront(context, value)}\n\n→ ${value.chosenReason}${nextStep(started.name, value)}`,
      );
    });
}

/** A name that a shell takes without quotes and that sorts by time: "intents-pi5-20260131-142503". */
function nameOf(adapter: string, deviceClass: string, now: Date): string {
  const time = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  return `${adapter}-${deviceClass}-${time}`
    .replaceAll(' ', '-')
    .slice(-64)
    .replace(/^[^A-Za-z0-9]+/, '');
}

const nextStep = (search: string, front: Front): string =>
  front.chosenTrialId === null ? '' : `\n\nrelease it: fleetlora release create --search ${search}`;

function checkCosts(costs: readonly string[]): CostObjective[] {
  return [...new Set(costs)].map((cost) => {
    const known = costObjectives.find((name) => name === cost);
    if (known) return known;
    throw new CodedError('BAD_USAGE', `--cost ${cost} is not one of ${costObjectives.join(', ')}`);
  });
}

/** The device class when there is just one. @throws BAD_USAGE naming the classes otherwise */
export async function onlyDeviceClass(api: ApiClient): Promise<string> {
  const classes = [...new Set((await api.call('listDevices')).map((device) => device.deviceClass))];
  const [only] = classes;
  if (only !== undefined && classes.length === 1) return only;
  throw new CodedError(
    'BAD_USAGE',
    only === undefined
      ? 'no device is enrolled, so --class has to name the class to search for'
      : `devices of several classes are enrolled, so --class has to name one of ${classes.join(', ')}`,
  );
}
