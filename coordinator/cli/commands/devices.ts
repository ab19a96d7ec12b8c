import { CodedError } from '@fleetlora/shared/errors';
import { type Device, describePolicy, describeReadings, type ScopedPolicy } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import type { ApiClient } from '../api-client.js';
import { collect } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { describeActivity, describeSteadiness } from '../describe-device.js';
import { follow } from '../follow.js';
import { type Column, renderFields, renderTable } from '../table.js';
import { waitFor } from '../wait-for.js';
import { appliesTo } from './policy.js';

interface Options extends ConnectionOptions {
  readonly json?: boolean;
}

interface LabelOptions extends Options {
  readonly add?: string[];
  readonly remove?: string[];
}

interface QualifyOptions extends Options {
  readonly wait?: boolean;
}

/** `fleetlora devices`, `fleetlora devices label`, `fleetlora devices qualify`. */
export function addDevices(program: Command, context: CliContext): void {
  const command = withConnection(program.command('devices'))
    .summary('list the devices, show one, label one, ask whether one is steady')
    .description(
      'Lists the devices, whether each is steady, and what it is doing or why it does nothing; or shows\n' +
        'one in detail. A steady device gives the same figure for the same work: five runs within 5 %.',
    )
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

  withConnection(command.command('qualify'))
    .summary('ask a device whether it is steady')
    .description(
      'Has a device measure the same work five times. Within 5 % its figures can be trusted, and it leaves\n' +
        'its quarantine. It waits its turn like a search, but before all candidates.',
    )
    .argument('<device>', 'id or name')
    .option('--wait', 'follow it until it has answered; fails when it is not steady')
    .option('--json', 'print the device as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora devices qualify board-7 --wait')
    .action(async (id: string, _: QualifyOptions, self: Command) => {
      const options = self.optsWithGlobals<QualifyOptions>();
      const api = await connect(context, options);
      const asked = await api.call('qualifyDevice', { id });
      const shown = options.wait ? await followQualification(context, api, asked) : asked;
      printData(context, options.json, shown, (value) =>
        value.qualifyJobId === null
          ? `${value.name}: ${describeSteadiness(value)}`
          : `${value.name}: asked, job ${value.qualifyJobId}`,
      );
    });
}

/** Waits for the answer to what was asked. @throws STATE_CONFLICT when the device is not steady */
async function followQualification(context: CliContext, api: ApiClient, asked: Device): Promise<Device> {
  const { id, name, qualifyJobId } = asked;
  let said = '';
  const answered = await follow(
    context,
    waitFor(
      () => api.call('showDevice', { id }),
      (device) => device.qualifyJobId === null || device.qualifyJobId !== qualifyJobId,
      {
        signal: context.signal,
        everyMs: 500,
        onAnswer(device) {
          const now = `${name}: ${describeActivity(device)}`;
          if (device.qualifyJobId !== null && now !== said) say(context, now);
          said = now;
        },
      },
    ),
    `the device goes on: fleetlora devices ${name}`,
  );
  if (answered.qualification?.accepted && answered.qualifyFailure === null) return answered;
  const reason = answered.qualifyFailure ?? describeSteadiness(answered);
  throw new CodedError('STATE_CONFLICT', `device "${name}" did not qualify: ${reason}`);
}

const labelsColumn: Column<Device> = { title: 'labels', value: (row) => row.labels.join(', ') || null };

function renderDevices(context: CliContext, devices: readonly Device[]): string {
  const { green, red, yellow } = context.colors;
  const steadiness = (device: Device): string => {
    if (device.quarantine !== null) return red('in quarantine');
    const text = describeSteadiness(device);
    return device.qualification?.accepted === false ? yellow(text) : text;
  };
  return renderTable(
    context,
    [
      { title: 'name', value: (row) => row.name },
      { title: 'class', value: (row) => row.deviceClass },
      ...(devices.some(({ labels }) => labels.length > 0) ? [labelsColumn] : []),
      { title: 'state', value: (row) => (row.online ? green('online') : red('offline')) },
      { title: 'steadiness', value: steadiness },
      { title: 'processor', value: (row) => row.facts.cpuModel },
      { title: 'cores', align: 'right', value: (row) => row.facts.cores },
      { title: 'memory', align: 'right', value: (row) => formatBytes(row.facts.memoryBytes) },
      { title: 'release', value: (row) => row.installedReleaseId },
      { title: 'id', value: (row) => row.id },
      // Last, since a reason can be longer than the screen is wide.
      { title: 'now', value: describeActivity },
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
    ['now', describeActivity(device)],
    ['steadiness', describeSteadiness(device)],
    ...qualificationFields(device),
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

/** How steadiness was found, why the last try failed, why it is given no candidates: what there is of it. */
function qualificationFields({
  qualification,
  qualifyFailure,
  quarantine,
}: Device): (readonly [string, string])[] {
  const fields: (readonly [string, string])[] = [];
  if (qualification !== null) {
    const { runs, limitPercent, standard, threads, flags, atMs } = qualification;
    const doubts = flags.length === 0 ? '' : `; ${flags.join(', ')}`;
    const on = `${threads} thread${threads === 1 ? '' : 's'}`;
    const text = `${runs.length} runs of ${standard} on ${on}, at most ${limitPercent} % apart${doubts}`;
    fields.push(['asked', `${new Date(atMs).toISOString()}: ${text}`]);
  }
  if (qualifyFailure !== null) fields.push(['not qualified', qualifyFailure]);
  if (quarantine !== null)
    fields.push(['quarantine', `since ${new Date(quarantine.sinceMs).toISOString()}: ${quarantine.reason}`]);
  return fields;
}
