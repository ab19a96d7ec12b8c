import type { HostWork } from '../host/index.js';
import { isCurrent } from './agent-age.js';
import type { StoredDevice, StoredJob } from './ports.js';
import { refusalOf } from './postpone-jobs.js';

/**
 * Why a device has no work, in words; null while it works. Pure.
 * @param unfinished the QUEUED and SENT jobs of all devices
 * @param pause of a device that put off its last job without having said why it may not measure
 * @param hostWork of a device on the coordinator's machine: what the coordinator does there now
 */
export function explainIdle(
  device: StoredDevice,
  unfinished: readonly StoredJob[],
  devices: readonly StoredDevice[],
  pause: { readonly reason: string; readonly secondsLeft: number } | null = null,
  hostWork: readonly HostWork[] = [],
): string | null {
  if (!device.online) return explainAbsence(device);
  const refusal = refusalOf(device);
  const own = unfinished.filter(({ deviceId }) => deviceId === device.id);
  if (own.some(({ state }) => state === 'SENT')) return null;
  if (refusal !== null) return refusal;
  if (pause !== null)
    return `it put off its last job (${pause.reason}); it is asked again in ${pause.secondsLeft} s`;
  if (own.length === 0) return explainNoWork(device);
  const { bootId } = device.facts;
  const neighbour = devices.find(
    (other) =>
      bootId !== '' &&
      other.facts.bootId === bootId &&
      unfinished.some(({ deviceId, state }) => deviceId === other.id && state === 'SENT'),
  );
  if (neighbour !== undefined) return `it waits its turn: ${neighbour.name} on the same machine is measuring`;
  if (hostWork.length === 0) return 'its next job is about to be sent';
  const work = hostWork.map((kind) => workWords[kind]).join(' and ');
  return `it waits its turn: the coordinator, on the same machine, ${work}`;
}

const workWords: Readonly<Record<HostWork, string>> = {
  score: 'scores a candidate',
  train: 'trains',
  model: 'makes a model',
};

function explainNoWork({ quarantine, deviceClass, facts }: StoredDevice): string {
  const current = isCurrent(facts);
  if (quarantine !== null) {
    const never = current ? '' : `, which its agent ${facts.agentVersion} cannot, wanted 0.3 or newer`;
    return `in quarantine until it qualifies anew${never}: ${quarantine.reason}`;
  }
  const unread = current ? '' : ` that its agent ${facts.agentVersion} can read, 0.3 or newer reads all`;
  return `no search has work for class "${deviceClass}"${unread}`;
}

/** What an absent device said of its policy is old, and told as such. */
function explainAbsence({ lastSeenAtMs, conditions }: StoredDevice): string {
  if (lastSeenAtMs === null) return 'it has not connected since it enrolled';
  const seen = `offline, last seen ${new Date(lastSeenAtMs).toISOString()}`;
  if (conditions === null || conditions.mayMeasure) return seen;
  return `${seen}, when it might not measure (${conditions.reasons.join('; ')})`;
}
