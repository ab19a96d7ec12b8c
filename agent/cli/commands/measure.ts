import { CodedError } from '@fleetlora/shared/errors';
import {
  defaultMeasurePlan,
  type Measurement,
  type MeasurePlan,
  type Timing,
} from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { measureFiles } from '../measure-files.js';
import { parseCount } from '../parse-count.js';
import { pairs } from '../printer.js';

interface MeasureOptions {
  readonly base: string;
  readonly adapter: string;
  readonly genome: string;
  readonly form?: string;
  readonly space?: string;
  readonly promptTokens: string;
  readonly kvTokens: string;
  readonly prefillRepeats: string;
  readonly decodeRepeats: string;
  readonly threads: string;
  readonly timeout: string;
  readonly json?: boolean;
}

export function addMeasure(program: Command, { printer, signal }: CommandContext): void {
  const plan = defaultMeasurePlan;
  program
    .command('measure')
    .summary('measure one candidate on this machine, without a coordinator')
    .description(
      'Loads the candidate in fresh processes and reports loads, time to first token, time per output token and\n' +
        'memory, as a job of a search would. A candidate that crashes or runs out of memory is "infeasible".',
    )
    .requiredOption('--base <file>', "base file in fleetlora's layout")
    .requiredOption('--adapter <file>', "super-adapter file in fleetlora's layout")
    .requiredOption(
      '--genome <text>',
      'max, middle, min, or a canonical text such as g1:u:32.0.32.32.768/...',
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
    .option('--timeout <seconds>', 'give up after this', '600')
    .option('--json', 'print everything as JSON, raw samples included')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent measure --base base.safetensors --adapter adapter.safetensors --genome max
  fleetlora-agent measure --base base.safetensors --adapter adapter.safetensors --genome min --form merged --json

A p50 takes 11 samples to be established and a p90 takes 64; fewer are reported all the same.`,
    )
    .action(async (options: MeasureOptions) => {
      const wanted: MeasurePlan = {
        promptTokens: parseCount(options.promptTokens, '--prompt-tokens', 8192),
        kvTokens: parseCount(options.kvTokens, '--kv-tokens', 8192),
        prefillRepeats: parseCount(options.prefillRepeats, '--prefill-repeats', 1024),
        decodeRepeats: parseCount(options.decodeRepeats, '--decode-repeats', 1024),
        threads: parseCount(options.threads, '--threads', 256),
      };
      const timeoutMs = parseCount(options.timeout, '--timeout', 86_400) * 1000;
      const { genome, outcome } = await measureFiles({ ...options, plan: wanted, timeoutMs, signal });
      printer.data(options.json, { genome, ...outcome }, (found) =>
        found.outcome === 'measured'
          ? render(genome, found.measurement)
          : pairs([
              ['genome', genome],
              ['outcome', found.outcome],
              ['reason', found.reason],
            ]),
      );
      if (outcome.outcome === 'rejected') throw new CodedError('BAD_REQUEST', outcome.reason);
      if (outcome.outcome === 'failed' || outcome.outcome === 'canceled')
        throw new CodedError('CHILD_FAILED', outcome.reason);
    });
}

function render(genome: string, measured: Measurement): string {
  const { plan } = measured;
  const ms = ({ p50Ms, p90Ms, n }: Timing): string =>
    `p50 ${p50Ms.toFixed(2)} ms, p90 ${p90Ms.toFixed(2)} ms (n = ${n})`;
  return pairs([
    ['genome', genome],
    [`first token, prompt ${plan.promptTokens}`, ms(measured.prefill)],
    [`a token, cache ${plan.kvTokens}`, ms(measured.decode)],
    ['load', `cold ${measured.coldLoadMs.toFixed(0)} ms, warm ${measured.warmLoadMs.toFixed(0)} ms`],
    [
      'peak memory',
      `${formatBytes(measured.peakBytes)}, ${formatBytes(measured.peakBytes - measured.baselineBytes)} above the empty process`,
    ],
    ['anonymous', formatBytes(measured.anonymousBytes)],
    ['shipped', formatBytes(measured.shippedBytes)],
    ['runtime', `${measured.runtime}, ${measured.provider}, ${plan.threads} threads`],
  ]);
}
