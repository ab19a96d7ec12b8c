import { CodedError } from '@fleetlora/shared/errors';
import type { Retention } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { daysOrNone, sizeOrNone } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderFields } from '../table.js';

interface SetOptions extends ConnectionOptions {
  readonly samplesDays?: number | 'none';
  readonly searchesDays?: number | 'none';
  readonly checkpointsDays?: number | 'none';
  readonly artifactsDays?: number | 'none';
  readonly artifactsSize?: number | 'none';
  readonly automatic?: boolean;
  readonly json?: boolean;
}

/** `fleetlora retention show|set`. */
export function addRetention(program: Command, context: CliContext): void {
  const retention = program
    .command('retention')
    .summary('how long things are kept')
    .description(
      'How long things are kept after they were last of use. fleetlora gc shows what is over that.',
    );

  withConnection(retention.command('show'))
    .summary('show how long things are kept')
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora retention show')
    .action(async (options: ConnectionOptions & { readonly json?: boolean }) => {
      const found = await (await connect(context, options)).call('showRetention');
      printData(context, options.json, found, (value) => renderRetention(context, value));
    });

  withConnection(retention.command('set'))
    .summary('change how long things are kept')
    .description('Changes what is named; the rest stays as it is. "none" keeps things for ever.')
    .option('--samples-days <n>', 'raw samples of the trials of ended searches; percentiles stay', daysOrNone)
    .option('--searches-days <n>', 'ended searches with their trials; those of releases stay', daysOrNone)
    .option('--checkpoints-days <n>', 'checkpoints of trainings that stopped or failed', daysOrNone)
    .option(
      '--artifacts-days <n>',
      'stored files that no record names, such as imported originals',
      daysOrNone,
    )
    .option(
      '--artifacts-size <size>',
      'above this, unnamed files go before their time: 500MB, 20GB',
      sizeOrNone,
    )
    .option('--automatic', 'delete once a day')
    .option('--no-automatic', 'delete only when told: fleetlora gc --delete')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora retention set --samples-days 30 --searches-days none
  fleetlora retention set --artifacts-size 20GB --automatic`,
    )
    .action(async (options: SetOptions) => {
      const change = changeOf(options);
      if (Object.keys(change).length === 0)
        throw new CodedError('BAD_USAGE', 'nothing to change was named; see fleetlora retention set --help');
      const api = await connect(context, options);
      const body = { ...(await api.call('showRetention')), ...change };
      const set = await api.call('setRetention', { body });
      printData(context, options.json, set, (value) => renderRetention(context, value));
    });
}

/** Only what was named. */
function changeOf(options: SetOptions): Partial<Retention> {
  const named = {
    samplesDays: options.samplesDays,
    searchesDays: options.searchesDays,
    checkpointsDays: options.checkpointsDays,
    artifactsDays: options.artifactsDays,
    artifactsBytes: options.artifactsSize,
    automatic: options.automatic,
  };
  return Object.fromEntries(
    Object.entries(named).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value === 'none' ? null : value]],
    ),
  );
}

export function renderRetention(context: CliContext, retention: Retention): string {
  const days = (count: number | null): string =>
    count === null ? 'kept for ever' : `${count} day${count === 1 ? '' : 's'}`;
  const { artifactsBytes, automatic } = retention;
  return renderFields(context, [
    ['raw samples', days(retention.samplesDays)],
    ['ended searches', days(retention.searchesDays)],
    ['checkpoints', days(retention.checkpointsDays)],
    ['unnamed files', days(retention.artifactsDays)],
    ['size of stored files', artifactsBytes === null ? 'no quota' : `${formatBytes(artifactsBytes)} at most`],
    ['deleted', automatic ? 'once a day, by itself' : 'when told: fleetlora gc --delete'],
  ]);
}
