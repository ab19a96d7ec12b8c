import { CodedError } from '@fleetlora/shared/errors';
import type { RolloutFleet, RolloutTarget } from '../rollout/ports.js';
import type { FleetContext } from './context.js';
import type { StoredDevice } from './ports.js';

/** The fleet as rollouts see it: targets, what they should run, and what they report. */
export function createRolloutFleet({ store, downlink, reportHandlers, born }: FleetContext): RolloutFleet {
  const toTarget = ({ id, name, online }: StoredDevice): RolloutTarget => ({ id, name, online });
  return {
    async listTargets(deviceClass) {
      return (await store.devices.list())
        .filter((device) => deviceClass === undefined || device.deviceClass === deviceClass)
        .map(toTarget);
    },
    async findTarget(idOrName) {
      const device = await store.devices.findByIdOrName(idOrName);
      if (device === null) throw new CodedError('NOT_FOUND', `no device with id or name "${idOrName}"`);
      return toTarget(device);
    },
    async sendDesired(deviceId, desired) {
      const device = await store.devices.find(deviceId);
      if (!device?.online) throw new CodedError('DEVICE_OFFLINE', `device ${deviceId} is offline`);
      await downlink.send(deviceId, 'desired', desired);
    },
    onReport(handler) {
      reportHandlers.add(handler);
      return () => {
        reportHandlers.delete(handler);
      };
    },
    onBirth: (listener) => born.add(listener),
  };
}
