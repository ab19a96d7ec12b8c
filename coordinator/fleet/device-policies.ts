import { CodedError, isCoded } from '@fleetlora/shared/errors';
import {
  encodeMessage,
  type PolicyScope,
  type PolicySet,
  type ScopedPolicy,
} from '@fleetlora/shared/protocol';
import { downCeiling } from './agent-age.js';
import type { FleetContext } from './context.js';
import type { StoredDevice } from './ports.js';
import { policiesOf } from './tell-policies.js';

/** When which devices may measure, as people set it. Every change is told to the devices it concerns. */
export interface DevicePolicies {
  /** Classes first, then labels, each by name. */
  list(): Promise<ScopedPolicy[]>;
  /** Replaces the policy of the scope. @throws BAD_REQUEST when a device could not be told it */
  set(set: PolicySet): Promise<ScopedPolicy>;
  /** Returns what was in force. @throws NOT_FOUND */
  remove(scope: PolicyScope): Promise<ScopedPolicy>;
  /** Replaces the labels of a device. @throws NOT_FOUND, BAD_REQUEST when it could not be told its policies */
  setLabels(idOrName: string, labels: readonly string[]): Promise<string>;
}

export function createDevicePolicies(context: FleetContext): DevicePolicies {
  const { store, clock } = context;
  const isOf = (scope: PolicyScope) => (policy: { scope: PolicyScope }) =>
    policy.scope.kind === scope.kind && policy.scope.name === scope.name;

  return {
    list: () => store.policies.list(),

    async set({ scope, policy }) {
      const stored: ScopedPolicy = { scope, policy, updatedAtMs: clock.nowMs() };
      const concerned = await store.transact(async (repositories) => {
        const others = (await repositories.policies.list()).filter((each) => !isOf(scope)(each));
        const devices = devicesIn(scope, await repositories.devices.list());
        for (const device of devices) requireTellable(device, policiesOf(device, [...others, stored]));
        await repositories.policies.set(stored);
        return devices;
      });
      // After the commit; a device that is offline is told at its next birth.
      await context.tellPolicies(concerned.map(({ id }) => id));
      return stored;
    },

    async remove(scope) {
      const { removed, concerned } = await store.transact(async (repositories) => {
        const removed = (await repositories.policies.list()).find(isOf(scope));
        if (!removed)
          throw new CodedError('NOT_FOUND', `there is no policy for ${scope.kind} "${scope.name}"`);
        await repositories.policies.remove(scope);
        return { removed, concerned: devicesIn(scope, await repositories.devices.list()) };
      });
      await context.tellPolicies(concerned.map(({ id }) => id));
      return removed;
    },

    async setLabels(idOrName, wanted) {
      const labels = [...new Set(wanted)].sort();
      const id = await store.transact(async (repositories) => {
        const device = await repositories.devices.findByIdOrName(idOrName);
        if (device === null) throw new CodedError('NOT_FOUND', `no device with id or name "${idOrName}"`);
        requireTellable(device, policiesOf({ ...device, labels }, await repositories.policies.list()));
        await repositories.devices.update(device.id, { labels });
        return device.id;
      });
      await context.tellPolicies([id]);
      return id;
    },
  };
}

function devicesIn({ kind, name }: PolicyScope, devices: readonly StoredDevice[]): StoredDevice[] {
  return devices.filter(({ deviceClass, labels }) =>
    kind === 'class' ? deviceClass === name : labels.includes(name),
  );
}

/** Policies that do not fit into one message would be obeyed by nobody. @throws BAD_REQUEST naming the device */
function requireTellable({ name, facts }: StoredDevice, policies: readonly PolicySet[]): void {
  try {
    const message = { id: 'x'.repeat(40), session: 0, body: { policies: [...policies] } };
    const bytes = Buffer.byteLength(encodeMessage('policy', message));
    const ceiling = downCeiling(facts);
    if (bytes > ceiling)
      throw new CodedError(
        'MESSAGE_TOO_LARGE',
        `policy message has ${bytes} bytes, at most ${ceiling} are read by its agent ${facts.agentVersion}`,
      );
  } catch (cause) {
    if (!isCoded(cause, 'MESSAGE_TOO_LARGE')) throw cause;
    throw new CodedError(
      'BAD_REQUEST',
      `device "${name}" would have ${policies.length} policies; told together, the ${cause.message}: use fewer labels`,
      { cause },
    );
  }
}
