import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { dispatch, sendJob } from './dispatch.js';
import { afterJobsEnded, endJob } from './end-job.js';
import type { StoredJob } from './ports.js';
import { postponeQueued, refusalOf } from './postpone-jobs.js';
import { askDue, wantQualification } from './qualify-devices.js';

/**
 * Times a job is handed to a device. A job that was lost this often most likely takes its device
 * down, and must not do so for ever.
 */
export const sendsAtMost = 3;

/**
 * A device came online. Its SENT jobs that it does not hold never reached it, or went down with
 * it: they are sent again, up to `sendsAtMost` times in all. A birth that repeats its session only
 * brings news (something was installed): on one connection nothing was lost, but a job may be on
 * its way. A device that may not measure is given nothing again: its jobs are postponed, and go to
 * others. One whose steadiness is not known, or in doubt, is asked for it.
 */
export async function handleBirth(
  context: FleetContext,
  deviceId: string,
  { session, body }: Message<'birth'>,
): Promise<void> {
  const { store, clock, log } = context;
  const held = new Set(body.heldJobIds);
  const refusal = refusalOf({ conditions: body.conditions ?? null });
  const { again, ended, device } = await store.transact(async (repositories) => {
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
      conditions: body.conditions ?? null,
    });
    const again: StoredJob[] = [];
    const ended: StoredJob[] =
      refusal === null ? [] : await postponeQueued(repositories, deviceId, refusal, clock.nowMs());
    for (const job of isNewSession ? await jobs.listUnfinished(deviceId) : []) {
      if (job.state !== 'SENT' || held.has(job.id)) continue;
      if (refusal !== null) {
        const ending = { state: 'POSTPONED', result: null, reason: refusal } as const;
        ended.push(await endJob(repositories, job, ending, clock.nowMs()));
      } else if (job.sends >= sendsAtMost) {
        const reason = `handed to the device ${job.sends} times; each time it came back without the job`;
        const ending = { state: 'FAILED', result: null, reason } as const;
        ended.push(await endJob(repositories, job, ending, clock.nowMs()));
      } else {
        await jobs.update(job.id, { sends: job.sends + 1 });
        again.push(job);
      }
    }
    return { again, ended, device: isNewSession ? await devices.find(deviceId) : null };
  });
  log.info({ deviceId, session, resent: again.length }, 'device online');
  context.conditionsToldAtMs.set(deviceId, clock.monotonicMs());
  context.progress.heardOf(deviceId);
  if (device !== null) wantQualification(context, device);
  // Before any job, so that the device knows by which rules to take it.
  await context.tellPolicies([deviceId]);
  for (const job of again) {
    // What was said of it went with the work; a job begun anew is spoken of anew.
    context.progress.forget(job.id);
    await sendJob(context, job);
  }
  await afterJobsEnded(context, ended);
  await askDue(context);
  await dispatch(context);
  context.born.notify(deviceId);
  context.devicesChanged.notify();
}
