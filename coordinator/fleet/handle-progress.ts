import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { tellDevice } from './tell-device.js';

/**
 * A device told what it does for its job. One that works for a job which is over (it was given up
 * while the device was away, or the cancel was lost) is told so again; what a lost session or
 * another device says of a job counts for nothing.
 */
export async function handleProgress(
  context: FleetContext,
  deviceId: string,
  { session, body }: Message<'progress'>,
): Promise<void> {
  const { store, progress, log } = context;
  const device = await store.devices.find(deviceId);
  if (!device?.online || device.session !== session) return;
  const job = await store.jobs.find(body.jobId);
  if (job?.deviceId === deviceId && job.state === 'SENT') return progress.note(deviceId, body);
  log.warn({ deviceId, jobId: body.jobId }, 'a device works for a job that it does not have');
  await tellDevice(context, deviceId, 'cancel', { jobId: body.jobId });
}
