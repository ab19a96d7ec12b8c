import type { JobResult, Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { afterJobsEnded, endJob, type JobEnding } from './end-job.js';
import { tellDevice } from './tell-device.js';

/**
 * A device told how a job ended. Acknowledged once that is committed, so the device can forget it.
 * A result of a job that is over already, or that is not this device's, changes nothing and is
 * acknowledged as well: sending it again would not help.
 */
export async function handleResult(
  context: FleetContext,
  deviceId: string,
  { id, body }: Message<'result'>,
): Promise<void> {
  const { store, clock, log } = context;
  const ended = await store.transact(async (repositories) => {
    await repositories.devices.update(deviceId, { lastSeenAtMs: clock.nowMs() });
    const job = await repositories.jobs.find(body.jobId);
    if (job === null || job.deviceId !== deviceId) {
      log.warn({ deviceId, jobId: body.jobId }, 'result of a job that this device was not given');
      return null;
    }
    if (job.endedAtMs !== null) return null;
    return endJob(repositories, job, endingOf(body), clock.nowMs());
  });
  await tellDevice(context, deviceId, 'ack', { ids: [id] });
  if (ended === null) return;
  log.info({ deviceId, jobId: ended.id, state: ended.state }, 'job ended');
  await afterJobsEnded(context, [ended]);
}

function endingOf(result: JobResult): JobEnding {
  if (result.outcome === 'measured') return { state: 'SUCCEEDED', result, reason: null };
  return { state: states[result.outcome], result, reason: result.reason };
}

const states = {
  infeasible: 'INFEASIBLE',
  failed: 'FAILED',
  rejected: 'REJECTED',
  canceled: 'CANCELED',
  postponed: 'POSTPONED',
} as const;
