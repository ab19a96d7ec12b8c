import type { StoredDevice } from './ports.js';

/** True when the device can be given a job: it is there, and did not say that it may not measure. */
export function mayMeasure(device: Pick<StoredDevice, 'online' | 'conditions'>): boolean {
  return device.online && device.conditions?.mayMeasure !== false;
}
