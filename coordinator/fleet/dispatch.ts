import type { FleetContext } from './context.js';
import { planDispatch, turnOf } from './plan-dispatch.js';
import type { FleetRepositories, StoredDevice, StoredJob } from './ports.js';
import { tellDevice } from './tell-device.js';

/** Hands every job to its device whose turn has come. */
export async function dispatch(context: FleetContext): Promise<void> {
  const { store, clock, lastServed } = context;
  const sent = await store.transact(async (repositories) => {
    const unfinished = await repositories.jobs.listUnfinished();
    const devices = await devicesOf(unfinished, repositories);
    const chosen = planDispatch(unfinished, devices, lastServed);
    for (const job of chosen)
      await repositories.jobs.update(job.id, { state: 'SENT', sends: 1, sentAtMs: clock.nowMs() });
    return chosen.map((job) => ({ job, turn: turnOf(job, devices) }));
  });
  // After the commit: a crash between the two leaves a SENT job that the device's next birth does
  // not hold, and it is sent again.
  for (const { job, turn } of sent) {
    lastServed.set(turn, Math.max(0, ...lastServed.values()) + 1);
    await sendJob(context, job);
  }
}

/** Publishes a job that is SENT. */
export function sendJob(context: FleetContext, job: StoredJob): Promise<void> {
  return tellDevice(context, job.deviceId, 'job', { jobId: job.id, ...job.body });
}

async function devicesOf(
  jobs: readonly StoredJob[],
  { devices }: FleetRepositories,
): Promise<Map<string, StoredDevice>> {
  const found = new Map<string, StoredDevice>();
  if (!jobs.some(({ state }) => state === 'QUEUED')) return found;
  for (const id of new Set(jobs.map(({ deviceId }) => deviceId))) {
    const device = await devices.find(id);
    if (device !== null) found.set(id, device);
  }
  return found;
}
