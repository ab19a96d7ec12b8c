import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { qualificationRuns } from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import { dataFolderOf } from '../../config.js';
import { keepQualification, qualifyDevice, standardPlan } from '../../qualify/index.js';
import type { CommandContext } from '../command-context.js';
import { addGateOptions, type GateOptions } from '../gate-options.js';
import { describeStep, startLiveLine } from '../live-line.js';
import { parseCount } from '../parse-count.js';
import { pairs } from '../printer.js';
import { renderQualification } from '../render-qualification.js';
import { withStandardBench } from '../standard-bench.js';

interface QualifyOptions extends GateOptions {
  readonly data?: string;
  readonly runs: string;
  readonly pause: string;
  readonly json?: boolean;
}

/** For all child processes of a qualification together: a slow board takes some minutes. */
const TIMEOUT_MS = 3_600_000;

export function addQualify(program: Command, { printer, env, signal }: CommandContext): void {
  const command = program
    .command('qualify')
    .summary('find out whether this machine gives the same figure for the same work')
    .description(
      'Makes a standard candidate of its own, measures it several times with a pause between, and compares the\n' +
        'runs: a machine is steady when they lie within 5 %. The result is kept in the data folder. Neither an\n' +
        'enrolment nor a coordinator is needed; a coordinator asks its devices for the same by itself.',
    )
    .option('--runs <n>', 'how often it is measured, from 2 to 32', String(qualificationRuns))
    .option('--pause <seconds>', 'between two runs', '5')
    .option('--data <folder>', 'data folder; no agent may run on it');
  addGateOptions(command)
    .option('--json', 'print the qualification as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent qualify
  fleetlora-agent qualify --runs 10 --pause 60 --json

An unsteady machine is found so, which is no failure: the exit code is 0. Other programs, heat, battery power and
a frequency governor that dozes are what most often makes one unsteady.`,
    )
    .action(async (options: QualifyOptions) => {
      const runs = parseCount(options.runs, '--runs', 32);
      if (runs < 2)
        throw new CodedError('BAD_USAGE', '--runs 1 is not possible, wanted 2 to 32: runs are compared');
      const pauseMs = options.pause === '0' ? 0 : parseCount(options.pause, '--pause', 600) * 1000;
      const line = startLiveLine(printer);
      const onStep = (...step: Parameters<typeof describeStep>): void => line.detail(describeStep(...step));
      try {
        const root = dataFolderOf(options.data, env);
        await withStandardBench(root, options, env, onStep, async ({ folder, facts, measure, scratch }) => {
          line.part('making the standard model');
          const outcome = await qualifyDevice(
            { runs, pauseMs, facts, scratch, timeoutMs: TIMEOUT_MS, plan: standardPlan, signal },
            {
              clock: systemClock,
              measure,
              onRun: (step, done, of) =>
                line.part(step === 'run' ? `run ${done + 1} of ${of}` : `pausing after run ${done} of ${of}`),
            },
          );
          line.end();
          if (outcome.outcome !== 'qualified') throw new CodedError('CHILD_FAILED', outcome.reason);
          const { qualification } = outcome;
          await keepQualification(folder.qualificationFile, qualification);
          printer.data(options.json, qualification, (found) => {
            const { rows, notes } = renderQualification(found);
            return [pairs([...rows, ['kept in', folder.qualificationFile]]), ...notes].join('\n');
          });
        });
      } finally {
        line.end();
      }
    });
}
