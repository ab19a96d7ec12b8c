import type { StoredDevice, StoredJob } from './ports.js';

/**
 * Which QUEUED jobs can be handed to their devices now, oldest first. Pure.
 *
 * Invariants: a device has at most one SENT job; of the devices that share a booted machine, at
 * most one has a SENT job, because two measurements on one machine would slow each other. A SENT
 * job holds its machine even while its device is offline: the measurement may well be running.
 *
 * @param unfinished every QUEUED and SENT job, oldest first
 * @param devices at least the devices of these jobs
 */
export function planDispatch(
  unfinished: readonly StoredJob[],
  devices: ReadonlyMap<string, StoredDevice>,
): StoredJob[] {
  const takenPlaces = new Set<string>();
  for (const job of unfinished) if (job.state === 'SENT') takenPlaces.add(placeOf(job, devices));
  const chosen: StoredJob[] = [];
  for (const job of unfinished) {
    if (job.state !== 'QUEUED' || !devices.get(job.deviceId)?.online) continue;
    const place = placeOf(job, devices);
    if (takenPlaces.has(place)) continue;
    takenPlaces.add(place);
    chosen.push(job);
  }
  return chosen;
}

/** Where a job runs: the booted machine when the device can tell, else the device itself. */
function placeOf(job: StoredJob, devices: ReadonlyMap<string, StoredDevice>): string {
  const bootId = devices.get(job.deviceId)?.facts.bootId ?? '';
  return bootId === '' ? `device ${job.deviceId}` : `machine ${bootId}`;
}

/**
 * Why a device has no work, in words; null while it works. Pure.
 * @param unfinished the QUEUED and SENT jobs of all devices
 */
export function explainIdle(
  device: StoredDevice,
  unfinished: readonly StoredJob[],
  devices: readonly StoredDevice[],
): string | null {
  if (!device.online)
    return device.lastSeenAtMs === null
      ? 'it has not connected since it enrolled'
      : `offline, last seen ${new Date(device.lastSeenAtMs).toISOString()}`;
  const own = unfinished.filter(({ deviceId }) => deviceId === device.id);
  if (own.some(({ state }) => state === 'SENT')) return null;
  if (own.length === 0) return `no search has work for class "${device.deviceClass}"`;
  const { bootId } = device.facts;
  const neighbour = devices.find(
    (other) =>
      bootId !== '' &&
      other.facts.bootId === bootId &&
      unfinished.some(({ deviceId, state }) => deviceId === other.id && state === 'SENT'),
  );
  return neighbour === undefined
    ? 'its next job is about to be sent'
    : `it waits its turn: ${neighbour.name} on the same machine is measuring`;
}
