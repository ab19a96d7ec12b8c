import { CodedError } from '@fleetlora/shared/errors';
import type { Device } from '@fleetlora/shared/protocol';
import { explainIdle } from './plan-dispatch.js';
import type { FleetStore, StoredDevice, StoredJob } from './ports.js';

/** All devices as people see them. */
export async function listDevices(store: FleetStore): Promise<Device[]> {
  const unfinished = await store.jobs.listUnfinished();
  const devices = await store.devices.list();
  return devices.map((device) => toDevice(device, unfinished, devices));
}

/** @throws NOT_FOUND */
export async function showDevice(store: FleetStore, idOrName: string): Promise<Device> {
  const device = await store.devices.findByIdOrName(idOrName);
  if (device === null) throw new CodedError('NOT_FOUND', `no device with id or name "${idOrName}"`);
  return toDevice(device, await store.jobs.listUnfinished(), await store.devices.list());
}

function toDevice(
  device: StoredDevice,
  unfinished: readonly StoredJob[],
  devices: readonly StoredDevice[],
): Device {
  const { session: _, ...shown } = device;
  const own = unfinished.filter(({ deviceId }) => deviceId === device.id);
  return {
    ...shown,
    labels: [...shown.labels],
    runningJobId: own.find(({ state }) => state === 'SENT')?.id ?? null,
    queuedJobs: own.filter(({ state }) => state === 'QUEUED').length,
    idleReason: explainIdle(device, unfinished, devices),
  };
}
