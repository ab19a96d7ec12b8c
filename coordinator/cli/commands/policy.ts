import { CodedError } from '@fleetlora/shared/errors';
import {
  clockRangePattern,
  type Device,
  type DevicePolicy,
  describePolicy,
  type PolicyScope,
  type ScopedPolicy,
} from '@fleetlora/shared/protocol';
import { type Command, InvalidArgumentError } from 'commander';
import { decimal, duration } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { renderTable } from '../table.js';

interface ScopeOptions extends ConnectionOptions {
  readonly class?: string;
  readonly label?: string;
  readonly json?: boolean;
}
interface SetOptions extends ScopeOptions {
  readonly hours?: string[];
  readonly mains?: boolean;
  readonly maxTemperature?: number;
  readonly unmetered?: boolean;
  readonly quiet?: number;
}

/** `fleetlora policy list|set|remove`. */
export function addPolicy(program: Command, context: CliContext): void {
  const policy = program
    .command('policy')
    .summary('when devices may measure: list, set, remove')
    .description(
      'Policies: when the devices of a class or a label may measure. A device obeys all that apply to it, also\n' +
        'while it is offline. Whatever the policies say, a request that it serves goes before a measurement.',
    )
    .helpCommand(false);

  withConnection(policy.command('list'))
    .summary('list the policies')
    .description('Lists the policies and how many devices each applies to.')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora policy list')
    .action(async (options: ScopeOptions) => {
      const api = await connect(context, options);
      const policies = await api.call('listPolicies');
      const devices = options.json ? [] : await api.call('listDevices');
      printData(context, options.json, policies, (rows) => renderPolicies(context, rows, devices));
    });

  withConnection(withScope(policy.command('set')))
    .summary('set when the devices of a class or label may measure')
    .description(
      'Sets when the devices of a class or label may measure, in place of what was set for it before. All that\n' +
        'is named must hold. What a device has no sensor for holds. A measurement under way is stopped when its\n' +
        'device may not measure any more, and the trial goes to another device, or comes back later.',
    )
    .option(
      '--hours <ranges>',
      "in these hours of the device's own clock, for example 22:00-06:00,12:30-13:30",
      clockRanges,
    )
    .option('--mains', 'on mains power, not on battery')
    .option('--max-temperature <celsius>', 'no hotter than this', decimal(20, 150))
    .option('--unmetered', 'not on a metered network; it then downloads nothing for a measurement either')
    .option('--quiet <time>', 'this long after the last request it served, for example 90s or 10m', quietTime)
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora policy set --class raspberry-pi-5 --hours 22:00-06:00 --max-temperature 70
  fleetlora policy set --label laptop --mains --unmetered --quiet 10m`,
    )
    .action(async (options: SetOptions) => {
      const scope = scopeOf(options, 'policy set');
      const wanted: DevicePolicy = {
        ...(options.hours && { hours: options.hours }),
        ...(options.mains && { mainsPower: true }),
        ...(options.maxTemperature !== undefined && { maxTemperatureC: options.maxTemperature }),
        ...(options.unmetered && { unmetered: true }),
        ...(options.quiet !== undefined && { quietSeconds: options.quiet }),
      };
      if (Object.keys(wanted).length === 0)
        throw new CodedError(
          'BAD_USAGE',
          'policy set takes at least one of --hours, --mains, --max-temperature, --unmetered, --quiet; `policy remove` lifts a policy',
        );
      const api = await connect(context, options);
      const stored = await api.call('setPolicy', { body: { scope, policy: wanted } });
      const devices = await api.call('listDevices');
      printData(context, options.json, stored, (value) => renderPolicies(context, [value], devices));
      sayReach(context, scope, devices);
    });

  withConnection(withScope(policy.command('remove')))
    .summary('remove the policy of a class or label')
    .description('Removes the policy of a class or label, and prints what was in force.')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora policy remove --label laptop')
    .action(async (options: ScopeOptions) => {
      const scope = scopeOf(options, 'policy remove');
      const api = await connect(context, options);
      const removed = await api.call('removePolicy', { params: { ...scope } });
      printData(
        context,
        options.json,
        removed,
        (value) => `removed from ${scope.kind} ${scope.name}: ${describePolicy(value.policy)}`,
      );
    });
}

function withScope(command: Command): Command {
  return command
    .option('--class <name>', 'for the devices of this class')
    .option('--label <name>', 'for the devices with this label');
}

/** @throws BAD_USAGE unless exactly one is named */
function scopeOf(options: ScopeOptions, command: string): PolicyScope {
  const { class: deviceClass, label } = options;
  if (deviceClass !== undefined && label === undefined) return { kind: 'class', name: deviceClass };
  if (label !== undefined && deviceClass === undefined) return { kind: 'label', name: label };
  throw new CodedError('BAD_USAGE', `${command} takes either --class or --label`);
}

/** Whether a policy is one that the device obeys. */
export const appliesTo = ({ kind, name }: PolicyScope, device: Device): boolean =>
  kind === 'class' ? device.deviceClass === name : device.labels.includes(name);

function renderPolicies(
  context: CliContext,
  policies: readonly ScopedPolicy[],
  devices: readonly Device[],
): string {
  return renderTable(
    context,
    [
      { title: 'for', value: ({ scope }) => `${scope.kind} ${scope.name}` },
      { title: 'may measure', value: ({ policy }) => describePolicy(policy) },
      {
        title: 'devices',
        align: 'right',
        value: ({ scope }) => devices.filter((device) => appliesTo(scope, device)).length,
      },
      { title: 'set', value: ({ updatedAtMs }) => new Date(updatedAtMs).toISOString() },
    ],
    policies,
    'no policy yet, devices measure at any time: fleetlora policy set',
  );
}

/** A policy that applies to nobody is most often a slip of the pen. */
function sayReach(context: CliContext, scope: PolicyScope, devices: readonly Device[]): void {
  const concerned = devices.filter((device) => appliesTo(scope, device));
  if (concerned.length === 0) {
    const known = new Set(
      devices.flatMap(({ deviceClass, labels }) => (scope.kind === 'class' ? [deviceClass] : labels)),
    );
    const others = known.size === 0 ? 'none is known yet' : `known: ${[...known].sort().join(', ')}`;
    say(context, `no device has ${scope.kind} "${scope.name}" so far (${others})`);
    return;
  }
  const absent = concerned.filter(({ online }) => !online).length;
  if (absent > 0) say(context, `${absent} of them offline: told when they connect`);
}

/** Ranges of "22:00-06:00,12:30-13:30", for commander; a repeated option adds its own. */
function clockRanges(text: string, before: readonly string[] | undefined): string[] {
  const ranges = text.split(',').map((range) => range.trim());
  if (ranges.every((range) => new RegExp(clockRangePattern).test(range)))
    return [...(before ?? []), ...ranges];
  throw new InvalidArgumentError('Wanted hours such as 22:00-06:00, several with commas between.');
}

/** Seconds of a time, 0 included: then only a request under way forbids to measure. */
function quietTime(text: string): number {
  return text === '0' ? 0 : duration(text);
}
