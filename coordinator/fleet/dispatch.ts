import type { FleetContext } from './context.js';
import { planDispatch, turnOf } from './plan-dispatch.js';
import type { FleetRepositories, StoredDevice, StoredJob } from './ports.js';
import { tellDevice } from './tell-device.js';

/**
 * Hands every job to its device whose turn has come. A job of a device on this machine also needs
 * the machine: it is sent only within a look that was granted it, and the coordinator's own work
 * begins there only after a look has found that job gone.
 */
export async function dispatch(context: FleetContext): Promise<void> {
  const { store, clock, lastServed, host } = context;
  const sent: StoredJob[] = [];
  await host.look(async (granted) => {
    const found = await store.transact(async (repositories) => {
      const unfinished = await repositories.jobs.listUnfinished();
      const devices = await devicesOf(unfinished, repositories);
      const isHere = ({ deviceId }: StoredJob): boolean =>
        host.bootId !== '' && devices.get(deviceId)?.facts.bootId === host.bootId;
      const planned = planDispatch(unfinished, devices, lastServed);
      const chosen = planned.filter((job) => granted || !isHere(job));
      for (const job of chosen)
        await repositories.jobs.update(job.id, { state: 'SENT', sends: 1, sentAtMs: clock.nowMs() });
      return {
        chosen: chosen.map((job) => ({ job, turn: turnOf(job, devices) })),
        running: unfinished.some((job) => job.state === 'SENT' && isHere(job)) || chosen.some(isHere),
        wanted: planned.some(isHere),
      };
    });
    for (const { job, turn } of found.chosen) {
      lastServed.set(turn, Math.max(0, ...lastServed.values()) + 1);
      sent.push(job);
    }
    return found;
  });
  // After the commit: a crash between the two leaves a SENT job that the device's next birth does
  // not hold, and it is sent again.
  for (const job of sent) await sendJob(context, job);
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
  for (const id of new Set(jobs.map(({ deviceId }) => deviceId))) {
    const device = await devices.find(id);
    if (device !== null) found.set(id, device);
  }
  return found;
}
