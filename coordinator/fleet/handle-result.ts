import type { JobResult, Message } from '@fleetlora/shared/protocol';
import { findMismatch } from './check-result.js';
import type { FleetContext } from './context.js';
import { afterJobsEnded, endJob, type JobEnding } from './end-job.js';
import { mayMeasure } from './may-measure.js';
import type { StoredDevice, StoredJob } from './ports.js';
import { postponeQueued } from './postpone-jobs.js';
import { tellDevice } from './tell-device.js';

/**
 * A device told how a job ended. Acknowledged once that is committed, so the device can forget it.
 * A result of a job that is over already, or that is not this device's, changes nothing and is
 * acknowledged as well: sending it again would not help. One that does not answer its job fails it.
 * A device that postpones one job is not given the others that wait for it; one that qualifies
 * leaves its quarantine.
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
    const device = await repositories.devices.find(deviceId);
    const ending = endingOf(job, body, device);
    const ended = [await endJob(repositories, job, ending, clock.nowMs())];
    if (body.outcome === 'qualified' && ending.state === 'SUCCEEDED') {
      const { qualification } = body;
      await repositories.devices.update(deviceId, {
        qualification: { ...qualification, atMs: clock.nowMs() },
        ...(qualification.accepted && { quarantine: null }),
      });
    }
    if (body.outcome !== 'postponed') return ended;
    if (device !== null && mayMeasure(device)) context.postponements.add(deviceId, body.reason);
    return [...ended, ...(await postponeQueued(repositories, deviceId, body.reason, clock.nowMs()))];
  });
  await tellDevice(context, deviceId, 'ack', { ids: [id] });
  if (ended === null) return;
  for (const { id, state, reason } of ended) log.info({ deviceId, jobId: id, state, reason }, 'job ended');
  if (body.outcome === 'qualified' && ended[0]?.state === 'SUCCEEDED') {
    const { accepted, spreadPercent } = body.qualification;
    log.info({ deviceId, spreadPercent }, accepted ? 'a device is steady' : 'a device is not steady');
  }
  await afterJobsEnded(context, ended);
}

function endingOf(job: StoredJob, result: JobResult, device: StoredDevice | null): JobEnding {
  if (result.outcome !== 'measured' && result.outcome !== 'qualified')
    return { state: states[result.outcome], result, reason: result.reason };
  const mismatch = device === null ? null : findMismatch(job.body, result, device.facts);
  return { state: mismatch === null ? 'SUCCEEDED' : 'FAILED', result, reason: mismatch };
}

const states = {
  infeasible: 'INFEASIBLE',
  failed: 'FAILED',
  rejected: 'REJECTED',
  canceled: 'CANCELED',
  postponed: 'POSTPONED',
} as const;
