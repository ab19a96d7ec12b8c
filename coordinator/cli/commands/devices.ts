import type { Device } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderFields, renderTable } from '../table.js';

interface Options extends ConnectionOptions {
  readonly json?: boolean;
}

/** `fleetlora devices`. */
export function addDevices(program: Command, context: CliContext): void {
  withConnection(program.command('devices'))
    .summary('list the devices, or show one')
    .description('Lists the devices and what each is doing, or shows one in detail.')
    .argument('[device]', 'id')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora devices
  fleetlora devices dev_01j... --json`,
    )
    .action(async (id: string | undefined, options: Options) => {
      const api = await connect(context, options);
      if (id === undefined) {
        printData(context, options.json, await api.call('listDevices'), (rows) =>
          renderDevices(context, rows),
        );
      } else {
        const device = await api.call('showDevice', { id });
        printData(context, options.json, device, (value) => renderDevice(context, value));
      }
    });
}

/** What the device does now, or why it does nothing. */
function activity(device: Device): string {
  if (device.runningJobId !== null) return `measuring, ${device.queuedJobs} waiting`;
  return device.idleReason ?? 'idle';
}

function renderDevices(context: CliContext, devices: readonly Device[]): string {
  const { green, red } = context.colors;
  return renderTable(
    context,
    [
      { title: 'name', value: (row) => row.name },
      { title: 'class', value: (row) => row.deviceClass },
      { title: 'state', value: (row) => (row.online ? green('online') : red('offline')) },
      { title: 'processor', value: (row) => row.facts.cpuModel },
      { title: 'cores', align: 'right', value: (row) => row.facts.cores },
      { title: 'memory', align: 'right', value: (row) => formatBytes(row.facts.memoryBytes) },
      { title: 'now', value: activity },
      { title: 'release', value: (row) => row.installedReleaseId },
      { title: 'id', value: (row) => row.id },
    ],
    devices,
    'no device yet: fleetlora code create',
  );
}

function renderDevice(context: CliContext, device: Device): string {
  const { facts } = device;
  return renderFields(context, [
    ['device', `${device.name}  ${device.id}`],
    ['class', device.deviceClass],
    ['state', device.online ? 'online' : 'offline'],
    ['last seen', device.lastSeenAtMs === null ? null : new Date(device.lastSeenAtMs).toISOString()],
    ['now', activity(device)],
    ['release', device.installedReleaseId],
    ['serves at', device.serveUrl],
    ['machine', `${facts.hostname}, ${facts.os} ${facts.arch}, ${facts.cpuModel}, ${facts.cores} cores`],
    ['memory', formatBytes(facts.memoryBytes)],
    ['runtime', `${facts.runtime} (${facts.provider}), agent ${facts.agentVersion}`],
  ]);
}
