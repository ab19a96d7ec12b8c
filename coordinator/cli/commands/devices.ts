import { CodedError } from '@fleetlora/shared/errors';
import { type Device, describePolicy, describeReadings, type ScopedPolicy } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { collect } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { type Column, renderFields, renderTable } from '../table.js';
import { appliesTo } from './policy.js';

interface Options extends ConnectionOptions {
  readonly json?: boolean;
}

interface LabelOptions extends Options {
  readonly add?: string[];
  readonly remove?: string[];
}

/** `fleetlora devices`, `fleetlora devices label`. */
export function addDevices(program: Command, context: CliContext): void {
  const command = withConnection(program.command('devices'))
    .summary('list the devices, show one, label one')
    .description('Lists the devices and what each is doing, or why it does nothing; or shows one in detail.')
    .argument('[device]', 'id or name')
    .helpCommand(false)
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora devices
  fleetlora devices dev_01j... --json
  fleetlora devices label board-7 --add office`,
    )
    .action(async (id: string | undefined, options: Options) => {
      const api = await connect(context, options);
      if (id === undefined) {
        printData(context, options.json, await api.call('listDevices'), (rows) =>
          renderDevices(context, rows),
        );
      } else {
        const device = await api.call('showDevice', { id });
        const policies = options.json ? [] : await api.call('listPolicies');
        printData(context, options.json, device, (value) => renderDevice(context, value, policies));
      }
    });

  withConnection(command.command('label'))
    .summary('add and remove labels of a device')
    .description('Adds and removes labels of a device. Policies find devices by class or label.')
    .argument('<device>', 'id or name')
    .option('--add <label>', 'a label it gets; repeat for several', collect)
    .option('--remove <label>', 'a label it loses; repeat for several', collect)
    .option('--json', 'print the device as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora devices label board-7 --add office --add battery
  fleetlora devices label board-7 --remove office`,
    )
    .action(async (id: string, _: LabelOptions, self: Command) => {
      // The options of `devices` itself may stand before the word `label`.
      const options = self.optsWithGlobals<LabelOptions>();
      const { add = [], remove = [] } = options;
      if (add.length + remove.length === 0)
        throw new CodedError('BAD_USAGE', 'devices label takes at least one --add or --remove');
      const api = await connect(context, options);
      const { labels } = await api.call('showDevice', { id });
      const missing = remove.find((label) => !labels.includes(label));
      if (missing !== undefined)
        throw new CodedError(
          'NOT_FOUND',
          `device "${id}" has no label "${missing}", only: ${labels.join(', ') || 'none'}`,
        );
      const wanted = [...labels.filter((label) => !remove.includes(label)), ...add];
      const body = { labels: [...new Set(wanted)] };
      const device = await api.call('setLabels', { id, body });
      printData(
        context,
        options.json,
        device,
        (value) => `${value.name}: ${value.labels.join(', ') || 'no labels'}`,
      );
    });
}

/** What the device does now, or why it does nothing. */
function activity(device: Device): string {
  if (device.runningJobId !== null) return `measuring, ${device.queuedJobs} waiting`;
  return device.idleReason ?? 'idle';
}

const labelsColumn: Column<Device> = { title: 'labels', value: (row) => row.labels.join(', ') || null };

function renderDevices(context: CliContext, devices: readonly Device[]): string {
  const { green, red } = context.colors;
  return renderTable(
    context,
    [
      { title: 'name', value: (row) => row.name },
      { title: 'class', value: (row) => row.deviceClass },
      ...(devices.some(({ labels }) => labels.length > 0) ? [labelsColumn] : []),
      { title: 'state', value: (row) => (row.online ? green('online') : red('offline')) },
      { title: 'processor', value: (row) => row.facts.cpuModel },
      { title: 'cores', align: 'right', value: (row) => row.facts.cores },
      { title: 'memory', align: 'right', value: (row) => formatBytes(row.facts.memoryBytes) },
      { title: 'release', value: (row) => row.installedReleaseId },
      { title: 'id', value: (row) => row.id },
      // Last, since a reason can be longer than the screen is wide.
      { title: 'now', value: activity },
    ],
    devices,
    'no device yet: fleetlora code create',
  );
}

function renderDevice(context: CliContext, device: Device, policies: readonly ScopedPolicy[]): string {
  const { facts } = device;
  const own = policies.filter(({ scope }) => appliesTo(scope, device));
  return renderFields(context, [
    ['device', `${device.name}  ${device.id}`],
    ['class', device.deviceClass],
    ['labels', device.labels.join(', ') || null],
    ['state', device.online ? 'online' : 'offline'],
    ['last seen', device.lastSeenAtMs === null ? null : new Date(device.lastSeenAtMs).toISOString()],
    ['now', activity(device)],
    ...own.map(
      ({ scope, policy }) => ['policy', `${scope.kind} ${scope.name}: ${describePolicy(policy)}`] as const,
    ),
    [device.online ? 'senses' : 'sensed then', device.conditions && describeReadings(device.conditions)],
    ['release', device.installedReleaseId],
    ['serves at', device.serveUrl],
    ['machine', `${facts.hostname}, ${facts.os} ${facts.arch}, ${facts.cpuModel}, ${facts.cores} cores`],
    ['memory', formatBytes(facts.memoryBytes)],
    ['runtime', `${facts.runtime} (${facts.provider}), agent ${facts.agentVersion}`],
  ]);
}
