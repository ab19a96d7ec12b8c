import type { PolicySet, ScopedPolicy } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import type { StoredDevice } from './ports.js';
import { tellDevice } from './tell-device.js';

/** The policies that a device must obey: of its class, and of its labels. Pure. */
export function policiesOf(
  { deviceClass, labels }: Pick<StoredDevice, 'deviceClass' | 'labels'>,
  all: readonly ScopedPolicy[],
): PolicySet[] {
  return all
    .filter(({ scope }) =>
      scope.kind === 'class' ? scope.name === deviceClass : labels.includes(scope.name),
    )
    .map(({ scope, policy }) => ({ scope, policy }));
}

/**
 * A function that tells those devices that are online their policies as they are stored. One call
 * after another, each reading when its turn comes: two changes at once must not reach a device in
 * the wrong order.
 */
export function createPolicyTeller(
  context: Pick<FleetContext, 'store' | 'downlink' | 'log'>,
): (deviceIds: readonly string[]) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  const { store } = context;

  async function find(deviceIds: readonly string[]): Promise<StoredDevice[]> {
    const [only] = deviceIds;
    const wanted = new Set(deviceIds);
    if (deviceIds.length > 1) return (await store.devices.list()).filter(({ id }) => wanted.has(id));
    const device = only === undefined ? null : await store.devices.find(only);
    return device === null ? [] : [device];
  }

  async function tell(deviceIds: readonly string[]): Promise<void> {
    const devices = (await find(deviceIds)).filter(({ online }) => online);
    if (devices.length === 0) return;
    const all = await store.policies.list();
    for (const device of devices) {
      const policies = policiesOf(device, all);
      // An agent that never said its conditions knows no policies, and need not hear that there are none.
      if (policies.length === 0 && device.conditions === null) continue;
      await tellDevice(context, device.id, 'policy', { policies });
    }
  }

  return (deviceIds) => {
    const mine = last.then(() => tell(deviceIds));
    last = mine.catch(() => {});
    return mine;
  };
}
