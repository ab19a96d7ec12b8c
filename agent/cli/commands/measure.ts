import { CodedError } from '@fleetlora/shared/errors';
import { defaultMeasurePlan, limits, type MeasurePlan } from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import { gateWaitsOf } from '../../config.js';
import { gateLimitsOf } from '../../host/index.js';
import type { CommandContext } from '../command-context.js';
import { addGateOptions, type GateOptions } from '../gate-options.js';
import { describeStep, startLiveLine } from '../live-line.js';
import { measureFiles } from '../measure-files.js';
import { parseCount } from '../parse-count.js';
import { pairs } from '../printer.js';
import { renderComparison, renderMeasurement } from '../render-measurement.js';

interface MeasureOptions extends GateOptions {
  readonly base: string;
  readonly adapter: string;
  readonly genome: string;
  readonly against?: string[];
  readonly form?: string;
  readonly space?: string;
  readonly promptTokens: string;
  readonly kvTokens: string;
  readonly prefillRepeats: string;
  readonly decodeRepeats: string;
  readonly threads: string;
  readonly sessions: string;
  readonly sustained: string;
  readonly timeout: string;
  readonly json?: boolean;
}

export function addMeasure(program: Command, { printer, env, signal }: CommandContext): void {
  const plan = defaultMeasurePlan;
  const command = program
    .command('measure')
    .summary('measure one candidate on this machine, without a coordinator')
    .description(
      'Loads the candidate in fresh processes and reports loads, time to first token, time per output token and\n' +
        'memory, as a job of a search would. A candidate that crashes or runs out of memory is "infeasible".\n' +
        'Waits before each session until the machine is cool and other processes are quiet.',
    )
    .requiredOption('--base <file>', "base file in fleetlora's layout")
    .requiredOption('--adapter <file>', "super-adapter file in fleetlora's layout")
    .requiredOption(
      '--genome <text>',
      'max, middle, min, or a canonical text such as g1:u:32.0.32.32.768/...',
    )
    .option(
      '--against <text...>',
      'compare with these, which differ from it in ranks above 0 alone, in the same sessions',
    )
    .option('--form <form>', 'unmerged or merged, for max, middle and min', 'unmerged')
    .option(
      '--space <name|file>',
      'preset or JSON file that max, middle and min are taken from (default: tied)',
    )
    .option('--prompt-tokens <n>', 'prompt length of the time to first token', String(plan.promptTokens))
    .option('--kv-tokens <n>', 'cache length of the time per output token', String(plan.kvTokens))
    .option('--prefill-repeats <n>', 'prompts timed', String(plan.prefillRepeats))
    .option('--decode-repeats <n>', 'output tokens timed', String(plan.decodeRepeats))
    .option('--threads <n>', 'threads', String(plan.threads))
    .option('--sessions <n>', 'fresh processes that share the samples', String(plan.sessions))
    .option('--sustained <seconds>', 'run it without a pause for so long, too', '0')
    .option('--timeout <seconds>', 'give up after this, waiting not counted', '600');
  addGateOptions(command)
    .option('--json', 'print everything as JSON, raw samples included')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent measure --base base.safetensors --adapter adapter.safetensors --genome max
  fleetlora-agent measure --base base.safetensors --adapter adapter.safetensors --genome min --form merged --json
  fleetlora-agent measure --base base.safetensors --adapter adapter.safetensors --genome max \\
    --against g1:u:16.16.16.16.768/16.16.16.16.768

A p50 takes 11 samples to be established and a p90 takes 64; fewer are reported all the same.`,
    )
    .action(async (options: MeasureOptions) => {
      const wanted: MeasurePlan = {
        promptTokens: parseCount(options.promptTokens, '--prompt-tokens', 8192),
        kvTokens: parseCount(options.kvTokens, '--kv-tokens', 8192),
        prefillRepeats: parseCount(options.prefillRepeats, '--prefill-repeats', 1024),
        decodeRepeats: parseCount(options.decodeRepeats, '--decode-repeats', 1024),
        threads: parseCount(options.threads, '--threads', 256),
        sessions: parseCount(options.sessions, '--sessions', limits.sessions),
        provider: 'cpu',
        sustainedSeconds: options.sustained === '0' ? 0 : parseCount(options.sustained, '--sustained', 1800),
      };
      const timeoutMs = parseCount(options.timeout, '--timeout', 86_400) * 1000;
      const line = startLiveLine(printer);
      const { genomes, outcome } = await measureFiles({
        ...options,
        plan: wanted,
        limits: gateLimitsOf(gateWaitsOf(options, env)),
        timeoutMs,
        signal,
        onProgress: (...step) => line.part(describeStep(...step)),
      }).finally(line.end);
      const [genome, ...others] = genomes;
      const found = { genome, ...(others.length > 0 && { against: others }), ...outcome };
      printer.data(options.json, found, () => {
        if (outcome.outcome !== 'measured')
          return pairs([
            ['genome', genome],
            ['outcome', outcome.outcome],
            ['reason', outcome.reason],
          ]);
        return outcome.others
          ? renderComparison(genomes, [outcome.measurement, ...outcome.others])
          : renderMeasurement(genome, outcome.measurement);
      });
      if (outcome.outcome === 'rejected') throw new CodedError('BAD_REQUEST', outcome.reason);
      if (outcome.outcome === 'failed' || outcome.outcome === 'canceled')
        throw new CodedError('CHILD_FAILED', outcome.reason);
    });
}
