import { mayMeasure } from './may-measure.js';
import type { StoredDevice, StoredJob } from './ports.js';

/**
 * Which QUEUED jobs can be handed to their devices now. Pure.
 *
 * Invariants: a device has at most one SENT job; of the devices that share a booted machine, at
 * most one has a SENT job, because two measurements on one machine would slow each other. A SENT
 * job holds its machine even while its device is offline: the measurement may well be running.
 *
 * A qualification comes before all candidates: it says what their figures are worth. Searches that
 * have jobs waiting for one machine take turns, however many each of them queued: the one that was
 * served least recently comes first, of its jobs the oldest.
 *
 * @param unfinished every QUEUED and SENT job, oldest first
 * @param devices at least the devices of these jobs
 * @param lastServed by `turnOf` a job: a number that grows with every job handed out there
 */
export function planDispatch(
  unfinished: readonly StoredJob[],
  devices: ReadonlyMap<string, StoredDevice>,
  lastServed: ReadonlyMap<string, number> = new Map(),
): StoredJob[] {
  const takenPlaces = new Set<string>();
  for (const job of unfinished) if (job.state === 'SENT') takenPlaces.add(placeOf(job, devices));
  const next = new Map<string, StoredJob>();
  const servedAt = (job: StoredJob): number =>
    job.kind === 'qualification' ? Number.NEGATIVE_INFINITY : (lastServed.get(turnOf(job, devices)) ?? 0);
  for (const job of unfinished) {
    const device = devices.get(job.deviceId);
    if (job.state !== 'QUEUED' || !device || !mayMeasure(device)) continue;
    const place = placeOf(job, devices);
    if (takenPlaces.has(place)) continue;
    const before = next.get(place);
    if (before === undefined || servedAt(job) < servedAt(before)) next.set(place, job);
  }
  return [...next.values()];
}

/** Names the turns that the job's search takes on the job's machine. */
export function turnOf(job: StoredJob, devices: ReadonlyMap<string, StoredDevice>): string {
  return `${job.searchId} on ${placeOf(job, devices)}`;
}

/** Where a job runs: the booted machine when the device can tell, else the device itself. */
function placeOf(job: StoredJob, devices: ReadonlyMap<string, StoredDevice>): string {
  const bootId = devices.get(job.deviceId)?.facts.bootId ?? '';
  return bootId === '' ? `device ${job.deviceId}` : `machine ${bootId}`;
}
