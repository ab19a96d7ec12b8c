import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { dispatch, sendJob } from './dispatch.js';
import { afterJobsEnded, endJob } from './end-job.js';
import type { StoredJob } from './ports.js';

/**
 * Times a job is handed to a device. A job that was lost this often most likely takes its device
 * down, and must not do so for ever.
 */
export const sendsAtMost = 3;

/**
 * A device came online. Its SENT jobs that it does not hold never reached it, or went down with
 * it: they are sent again, up to `sendsAtMost` times in all. A birth that repeats its session only
 * brings news (something was installed): on one connection nothing was lost, but a job may be on
 * its way.
 */
export async function handleBirth(
  context: FleetContext,
  deviceId: string,
  { session, body }: Message<'birth'>,
): Promise<void> {
  const { store, clock, log } = context;
  const held = new Set(body.heldJobIds);
  const { again, ended } = await store.transact(async (repositories) => {
    const { devices, jobs } = repositories;
    const before = await devices.find(deviceId);
    const isNewSession = before?.online !== true || before.session !== session;
    await devices.update(deviceId, {
      facts: body.facts,
      online: true,
      session,
      lastSeenAtMs: clock.nowMs(),
      installedReleaseId: body.installedReleaseId,
      serveUrl: body.serveUrl,
    });
    const again: StoredJob[] = [];
    const ended: StoredJob[] = [];
    for (const job of isNewSession ? await jobs.listUnfinished(deviceId) : []) {
      if (job.state !== 'SENT' || held.has(job.id)) continue;
      if (job.sends >= sendsAtMost) {
        const reason = `handed to the device ${job.sends} times; each time it came back without the job`;
        const ending = { state: 'FAILED', result: null, reason } as const;
        ended.push(await endJob(repositories, job, ending, clock.nowMs()));
      } else {
        await jobs.update(job.id, { sends: job.sends + 1 });
        again.push(job);
      }
    }
    return { again, ended };
  });
  log.info({ deviceId, session, resent: again.length }, 'device online');
  for (const job of again) await sendJob(context, job);
  await afterJobsEnded(context, ended);
  await dispatch(context);
  context.born.notify(deviceId);
  context.devicesChanged.notify();
}
