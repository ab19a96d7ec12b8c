import type { JobResult, Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { afterJobsEnded, endJob, type JobEnding } from './end-job.js';
import { mayMeasure } from './may-measure.js';
import { postponeQueued } from './postpone-jobs.js';
import { tellDevice } from './tell-device.js';

/**
 * A device told how a job ended. Acknowledged once that is committed, so the device can forget it.
 * A result of a job that is over already, or that is not this device's, changes nothing and is
 * acknowledged as well: sending it again would not help. A device that postpones one job is not
 * given the others that wait for it.
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
    const ended = [await endJob(repositories, job, endingOf(body), clock.nowMs())];
    if (body.outcome !== 'postponed') return ended;
    const device = await repositories.devices.find(deviceId);
    if (device !== null && mayMeasure(device)) context.postponements.add(deviceId, body.reason);
    return [...ended, ...(await postponeQueued(repositories, deviceId, body.reason, clock.nowMs()))];
  });
  await tellDevice(context, deviceId, 'ack', { ids: [id] });
  if (ended === null) return;
  for (const job of ended) log.info({ deviceId, jobId: job.id, state: job.state }, 'job ended');
  await afterJobsEnded(context, ended);
}

function endingOf(result: JobResult): JobEnding {
  if (result.outcome === 'measured' || result.outcome === 'qualified')
    return { state: 'SUCCEEDED', result, reason: null };
  return { state: states[result.outcome], result, reason: result.reason };
}

const states = {
  infeasible: 'INFEASIBLE',
  failed: 'FAILED',
  rejected: 'REJECTED',
  canceled: 'CANCELED',
  postponed: 'POSTPONED',
} as const;
