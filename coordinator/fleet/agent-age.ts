import { type DeviceFacts, isQualifyJob, limits } from '@fleetlora/shared/protocol';
import type { JobBody } from './ports.js';

/** Agents know batches, sessions, providers and qualifications from this version on. */
const SINCE = [0, 3] as const;
/** Bytes of the largest message that an older agent reads. */
const OLD_MESSAGE_BYTES = 4096;
type Facts = Pick<DeviceFacts, 'agentVersion'>;

/** Whether the agent knows what came with 0.3; one whose version cannot be read is taken for an old one. */
export function isCurrent({ agentVersion }: Facts): boolean {
  const [major, minor] = /^(\d{1,9})\.(\d{1,9})\b/.exec(agentVersion)?.slice(1).map(Number) ?? [];
  if (major === undefined || minor === undefined) return false;
  return major > SINCE[0] || (major === SINCE[0] && minor >= SINCE[1]);
}

/**
 * Why the agent could not read a job, in words; null when it can. Schemas are closed: an agent
 * drops a message with a field that it does not know, and its job would never end.
 */
export function refusalByAge(facts: Facts, body: JobBody): string | null {
  if (isCurrent(facts)) return null;
  const news = isQualifyJob(body)
    ? 'a qualification'
    : body.others !== undefined
      ? 'a batch'
      : [body.plan.sessions, body.plan.provider, body.plan.sustainedSeconds].some(
            (field) => field !== undefined,
          )
        ? 'a plan with sessions, provider or sustainedSeconds'
        : null;
  return news && `its agent ${facts.agentVersion} does not know ${news}, wanted ${SINCE.join('.')} or newer`;
}

/** Bytes that a message to the agent may have. */
export function downCeiling(facts: Facts): number {
  return isCurrent(facts) ? limits.downMessageBytes : OLD_MESSAGE_BYTES;
}
