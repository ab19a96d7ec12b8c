import type { Device, Labels, PolicySet, ScopedPolicy } from '@fleetlora/shared/protocol';
import { board, qualifying } from './example-devices.js';
import { times } from './example-names.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const device = { id: 'Id or name of the device.' };
const unknown = { NOT_FOUND: 'no device has the id or name "garden-pi"' };
const policy: PolicySet = {
  scope: { kind: 'class', name: 'raspberry-pi-5' },
  policy: { hours: ['22:00-06:00'], mainsPower: true, maxTemperatureC: 70 },
};
const scoped: ScopedPolicy = { ...policy, updatedAtMs: times.imported };

export const deviceDocs = {
  listDevices: {
    tag: 'devices',
    summary: 'All devices, and why they idle',
    description:
      'From the first enrolled to the last. `idleReason` says in words why a device has no work; `conditions` ' +
      'is what it last said of its policies, `qualification` whether it gives the same figure for the same ' +
      'work, `progress` what it does for its job.',
    commands: ['devices', 'policy list', 'policy set', 'search start'],
    answer: exampleOf<Device[]>([board]),
  },
  showDevice: {
    tag: 'devices',
    summary: 'One device',
    description: 'As in the list.',
    commands: ['devices', 'devices label', 'devices qualify'],
    params: device,
    answer: exampleOf<Device>(board),
    errors: unknown,
  },
  setLabels: {
    tag: 'devices',
    summary: 'Replace the labels of a device',
    description:
      'Policies find devices by class and by label. The device is told at once what applies to it now.',
    commands: ['devices label'],
    params: device,
    body: exampleOf<Labels>({ labels: ['kitchen', 'night-only'] }),
    answer: exampleOf<Device>({ ...board, labels: ['kitchen', 'night-only'] }),
    errors: unknown,
  },
  qualifyDevice: {
    tag: 'devices',
    summary: 'Ask a device whether it is steady',
    description:
      'The device measures the same work five times; within 5 % it is accepted, and leaves its quarantine. ' +
      '`qualifyJobId` names the job until it is over. One that is being asked is not asked twice.',
    commands: ['devices qualify'],
    params: device,
    answer: exampleOf<Device>(qualifying),
    errors: {
      ...unknown,
      DEVICE_OFFLINE: 'device "kitchen-pi" is offline',
      STATE_CONFLICT:
        'device "kitchen-pi" cannot qualify at present: policy of class raspberry-pi-5: on battery',
    },
  },
  listPolicies: {
    tag: 'devices',
    summary: 'When devices may measure',
    description:
      'A device may measure when all policies of its class and labels hold. What it cannot sense holds, and a ' +
      'request that it serves always comes first.',
    commands: ['policy list', 'devices'],
    answer: exampleOf<ScopedPolicy[]>([scoped]),
  },
  setPolicy: {
    tag: 'devices',
    summary: 'Set when the devices of a class or label may measure',
    description:
      'Replaces the policy of that class or label. Devices that are connected follow at once, the others when ' +
      'they come back; they keep it while they are offline.',
    commands: ['policy set'],
    body: policy,
    answer: scoped,
  },
  removePolicy: {
    tag: 'devices',
    summary: 'Remove a policy',
    description: 'Answers with the policy that was in force.',
    commands: ['policy remove'],
    params: { kind: '`class` or `label`.', name: 'Name of the class or label.' },
    answer: scoped,
    errors: { NOT_FOUND: 'no policy is set for label "night-only"' },
  },
} as const satisfies Record<string, RouteDoc>;
