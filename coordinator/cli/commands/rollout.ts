import { CodedError } from '@fleetlora/shared/errors';
import type { Rollout } from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import type { ApiClient } from '../api-client.js';
import { collect } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { follow } from '../follow.js';
import { startProgress } from '../progress.js';
import { renderTable } from '../table.js';
import { waitFor } from '../wait-for.js';

interface Options extends ConnectionOptions {
  readonly release: string;
  readonly class?: string;
  readonly device?: string[];
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** `fleetlora rollout start|show|list`. */
export function addRollout(program: Command, context: CliContext): void {
  const rollout = program
    .command('rollout')
    .summary('rollouts: start, show, list')
    .description('Rollouts: a release on its way to devices.')
    .helpCommand(false);

  withConnection(rollout.command('start'))
    .summary('push a release to devices')
    .description(
      'Pushes a release to the devices of a class, or to those named. Each device fetches and verifies\n' +
        'it, switches, proves health by the fixed prompts and reports; else it keeps what it ran before.',
    )
    .requiredOption('--release <release>', 'name or id of the release')
    .option('--class <name>', 'devices of this class')
    .option('--device <device>', 'this device; repeat for several', collect)
    .option('--wait', 'follow it until it ends')
    .option('--json', 'print the rollout as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora rollout start --release intents --class raspberry-pi-5 --wait
  fleetlora rollout start --release intents --device dev_01j... --device dev_01k...`,
    )
    .action(async (options: Options) => {
      if ((options.class === undefined) === (options.device === undefined))
        throw new CodedError('BAD_USAGE', 'rollout start takes either --class or --device');
      const api = await connect(context, options);
      const body = { release: options.release, deviceClass: options.class, devices: options.device };
      const started = await api.call('startRollout', { body });
      const shown = options.wait ? await followRollout(context, api, started.id) : started;
      printData(context, options.json, shown, (value) => renderRollout(context, value));
    });

  withConnection(rollout.command('show'))
    .summary('show how far a rollout is, device by device')
    .argument('<rollout>', 'id')
    .option('--wait', 'follow it until it ends')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora rollout show rol_01j... --wait')
    .action(async (id: string, options: Options) => {
      const api = await connect(context, options);
      const shown = options.wait
        ? await followRollout(context, api, id)
        : await api.call('showRollout', { id });
      printData(context, options.json, shown, (value) => renderRollout(context, value));
    });

  withConnection(rollout.command('list'))
    .summary('list the rollouts')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora rollout list')
    .action(async (options: Options) => {
      const rollouts = await (await connect(context, options)).call('listRollouts');
      printData(context, options.json, rollouts, (rows) =>
        renderTable(
          context,
          [
            { title: 'id', value: (row) => row.id },
            { title: 'state', value: (row) => row.state },
            {
              title: 'succeeded',
              align: 'right',
              value: (row) => `${countDevices(row, 'succeeded')}/${row.devices.length}`,
            },
            { title: 'release', value: (row) => row.releaseId },
          ],
          rows,
          'no rollout yet: fleetlora rollout start',
        ),
      );
    });
}

const countDevices = (rollout: Rollout, state: Rollout['devices'][number]['state']): number =>
  rollout.devices.filter((device) => device.state === state).length;

const followRollout = (context: CliContext, api: ApiClient, id: string): Promise<Rollout> =>
  follow(context, watchRollout(context, api, id), `the rollout goes on: fleetlora rollout show ${id} --wait`);

/**
 * Follows a rollout until it ends.
 * @throws RELEASE_UNHEALTHY naming the devices on which it failed
 */
export async function watchRollout(context: CliContext, api: ApiClient, id: string): Promise<Rollout> {
  const { devices } = await api.call('showRollout', { id });
  const progress = startProgress(context, {
    title: 'rollout',
    total: devices.length,
    unit: devices.length === 1 ? 'device' : 'devices',
  });
  try {
    const ended = await waitFor(
      () => api.call('showRollout', { id }),
      ({ state }) => state !== 'running',
      {
        signal: context.signal,
        everyMs: 500,
        onAnswer: (rollout) => progress.update(countDevices(rollout, 'succeeded'), describeStates(rollout)),
      },
    );
    if (ended.state === 'failed') {
      const failed = ended.devices
        .filter(({ state }) => state === 'failed' || state === 'rejected')
        .map(({ name, state, reason }) => `${name} ${state}${reason === null ? '' : ` (${reason})`}`);
      throw new CodedError('RELEASE_UNHEALTHY', `rollout ${id} failed: ${failed.join('; ')}`);
    }
    progress.finish();
    return ended;
  } finally {
    progress.abandon();
  }
}

/** "2 loading, 1 succeeded". */
function describeStates(rollout: Rollout): string {
  const counts = new Map<string, number>();
  for (const { state } of rollout.devices) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

function renderRollout(context: CliContext, rollout: Rollout): string {
  const devices = renderTable(
    context,
    [
      { title: 'device', value: (row) => row.name },
      { title: 'state', value: (row) => row.state },
      {
        title: 'health prompts',
        align: 'right',
        value: (row) => (row.checked === null ? null : `${row.healthy ?? 0}/${row.checked}`),
      },
      { title: 'reason', value: (row) => row.reason ?? '' },
      { title: 'id', value: (row) => row.deviceId },
    ],
    rollout.devices,
    'no device',
  );
  return `rollout ${rollout.id} of release ${rollout.releaseId}: ${rollout.state}\n\n${devices}`;
}
