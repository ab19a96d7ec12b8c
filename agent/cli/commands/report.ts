import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { writeFileDurably } from '@fleetlora/shared/node';
import { formatBytes, formatSeconds } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { dataFolderOf } from '../../config.js';
import { formatReport, fullExtent, keepQualification, makeReport, quickExtent } from '../../qualify/index.js';
import type { CommandContext } from '../command-context.js';
import { addGateOptions, type GateOptions } from '../gate-options.js';
import { describeStep, startLiveLine } from '../live-line.js';
import { renderReport } from '../render-report.js';
import { withStandardBench } from '../standard-bench.js';

interface ReportOptions extends GateOptions {
  readonly out?: string;
  readonly data?: string;
  readonly quick?: boolean;
  readonly json?: boolean;
}

const DEFAULT_FILE = 'fleetlora-report.json';
/** For all child processes of a report together: on a slow board a quarter of an hour is not much. */
const TIMEOUT_MS = 2 * 3_600_000;
/** Read by anyone who may enter the folder: the file is made to be shown. */
const FILE_MODE = 0o644;

export function addReport(program: Command, { printer, env, signal }: CommandContext): void {
  const command = program
    .command('report')
    .summary('write one file about this machine that can be shown to anyone')
    .description(
      'Describes the hardware, finds out whether the machine is steady, and measures a standard candidate with one\n' +
        'thread and with all cores: loads, time to first token, time per output token, memory, twenty seconds on end,\n' +
        'energy where a sensor tells. Takes a few minutes. Neither an enrolment nor a coordinator is needed.',
    )
    .option('--out <file>', `where to write it (default: ${DEFAULT_FILE}, or nowhere with --json)`)
    .option('--quick', 'a tenth of the time: shows that everything works, and compares with nothing')
    .option('--data <folder>', 'data folder; no agent may run on it');
  addGateOptions(command)
    .option('--json', 'print the file instead of a summary')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent report
  fleetlora-agent report --out pi-5.json
  fleetlora-agent report --json | jq '.benchmark[].result.decode.p50Ms'

The file holds no host name, device id, address, key, serial number or path: it describes the kind of machine, not
this one. Look at it before you show it; it is JSON in plain lines.`,
    )
    .action(async (options: ReportOptions) => {
      const out = options.out ?? (options.json ? undefined : DEFAULT_FILE);
      const path = out === undefined ? null : await writablePath(out);
      const beganMs = systemClock.monotonicMs();
      const line = startLiveLine(printer);
      const onStep = (...step: Parameters<typeof describeStep>): void => line.detail(describeStep(...step));
      try {
        const root = dataFolderOf(options.data, env);
        const extent = options.quick ? quickExtent : fullExtent;
        await withStandardBench(root, options, env, onStep, async ({ folder, ...bench }) => {
          const task = { extent, facts: bench.facts, scratch: bench.scratch, timeoutMs: TIMEOUT_MS, signal };
          const outcome = await makeReport(task, { ...bench, clock: systemClock, onPart: line.part });
          line.end();
          if (outcome.outcome !== 'reported') throw new CodedError('CHILD_FAILED', outcome.reason);
          const { report } = outcome;
          if (!report.quick && 'accepted' in report.qualification)
            await keepQualification(folder.qualificationFile, report.qualification);
          const text = formatReport(report);
          const bytes = new TextEncoder().encode(text);
          if (path !== null) await writeFileDurably(path, bytes, FILE_MODE);
          printer.out(options.json ? text : `${renderReport(report, printer)}\n`);
          if (path !== null)
            printer.say(
              `\n${out} (${formatBytes(bytes.length)}) holds all of this with the raw samples, and nothing that names you or this machine.\nTook ${formatSeconds((systemClock.monotonicMs() - beganMs) / 1000)}.`,
            );
        });
      } finally {
        line.end();
      }
    });
}

/**
 * Where the file goes, before minutes are spent on what goes into it.
 * @throws BAD_USAGE when nothing can be written there
 */
async function writablePath(out: string): Promise<string> {
  const path = resolve(out);
  const refuse = (why: string): CodedError => new CodedError('BAD_USAGE', `--out ${out} ${why}`);
  if (
    await stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    )
  )
    throw refuse('is a folder, wanted the name of a file');
  await access(dirname(path), constants.W_OK).catch(() => {
    throw refuse('is in a folder that is not there or cannot be written to');
  });
  return path;
}
