import type { StoredDevice, StoredJob } from './ports.js';
import { refusalOf } from './postpone-jobs.js';

/**
 * Why a device has no work, in words; null while it works. Pure.
 * @param unfinished the QUEUED and SENT jobs of all devices
 * @param pause of a device that put off its last job without having said why it may not measure
 */
export function explainIdle(
  device: StoredDevice,
  unfinished: readonly StoredJob[],
  devices: readonly StoredDevice[],
  pause: { readonly reason: string; readonly secondsLeft: number } | null = null,
): string | null {
  if (!device.online) return explainAbsence(device);
  const refusal = refusalOf(device);
  const own = unfinished.filter(({ deviceId }) => deviceId === device.id);
  if (own.some(({ state }) => state === 'SENT')) return null;
  if (refusal !== null) return refusal;
  if (pause !== null)
    return `it put off its last job (${pause.reason}); it is asked again in ${pause.secondsLeft} s`;
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

/** What an absent device said of its policy is old, and told as such. */
function explainAbsence({ lastSeenAtMs, conditions }: StoredDevice): string {
  if (lastSeenAtMs === null) return 'it has not connected since it enrolled';
  const seen = `offline, last seen ${new Date(lastSeenAtMs).toISOString()}`;
  if (conditions === null || conditions.mayMeasure) return seen;
  return `${seen}, when it might not measure (${conditions.reasons.join('; ')})`;
}
