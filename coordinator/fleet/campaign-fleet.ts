import { CodedError } from '@fleetlora/shared/errors';
import { encodeMessage } from '@fleetlora/shared/protocol';
import type { CampaignFleet, TrialJob } from '../campaign/ports.js';
import type { FleetContext } from './context.js';
import { dispatch } from './dispatch.js';
import { afterJobsEnded, endJob, jobEndOf } from './end-job.js';
import type { StoredDevice, StoredJob } from './ports.js';
import { tellDevice } from './tell-device.js';

/** The fleet as campaigns see it: idle devices, and jobs that always end. */
export function createCampaignFleet(context: FleetContext): CampaignFleet {
  const { store, clock, newId } = context;
  const bootIdOf = (device: StoredDevice | null): string => device?.facts.bootId ?? '';
  const toTrialJob = (job: StoredJob, bootId: string): TrialJob => ({
    jobId: job.id,
    searchId: job.searchId,
    trialId: job.trialId,
    deviceId: job.deviceId,
    bootId,
    end: jobEndOf(job),
  });

  return {
    async idleDevices(deviceClass) {
      const busy = new Set((await store.jobs.listUnfinished()).map(({ deviceId }) => deviceId));
      return (await store.devices.list())
        .filter((device) => device.deviceClass === deviceClass && device.online && !busy.has(device.id))
        .map((device) => ({ id: device.id, bootId: bootIdOf(device) }));
    },

    async submit({ searchId, trialId, deviceId, body }) {
      const jobId = newId('job');
      // A job that no message can carry must fail here, before it is stored.
      encodeMessage('job', { id: newId('msg'), session: 0, body: { jobId, ...body } });
      await store.transact(async ({ devices, jobs }) => {
        const device = await devices.find(deviceId);
        if (!device?.online) throw new CodedError('DEVICE_OFFLINE', `device ${deviceId} is offline`);
        const [unfinished] = await jobs.listUnfinished(deviceId);
        if (unfinished !== undefined)
          throw new CodedError(
            'STATE_CONFLICT',
            `device ${deviceId} has the unfinished job ${unfinished.id}`,
          );
        await jobs.insert({
          id: jobId,
          searchId,
          trialId,
          deviceId,
          state: 'QUEUED',
          body,
          sends: 0,
          createdAtMs: clock.nowMs(),
          sentAtMs: null,
          endedAtMs: null,
          result: null,
          reason: null,
        });
      });
      await dispatch(context);
      return jobId;
    },

    async cancel(jobId) {
      const canceled = await store.transact(async (repositories) => {
        const job = await repositories.jobs.find(jobId);
        if (job === null || job.endedAtMs !== null) return null;
        const ending = { state: 'CANCELED', result: null, reason: 'canceled by the coordinator' } as const;
        return { wasSent: job.state === 'SENT', job: await endJob(repositories, job, ending, clock.nowMs()) };
      });
      if (canceled === null) return;
      if (canceled.wasSent) await tellDevice(context, canceled.job.deviceId, 'cancel', { jobId });
      await afterJobsEnded(context, [canceled.job]);
    },

    async jobsOfTrials(trialIds) {
      const bootIds = new Map<string, string>();
      const jobs = await store.jobs.listOfTrials(trialIds);
      for (const { deviceId } of jobs)
        if (!bootIds.has(deviceId)) bootIds.set(deviceId, bootIdOf(await store.devices.find(deviceId)));
      return jobs.map((job) => toTrialJob(job, bootIds.get(job.deviceId) ?? ''));
    },

    onJobEnded: (listener) =>
      context.jobEnded.add((job) => {
        store.devices.find(job.deviceId).then(
          (device) => listener(toTrialJob(job, bootIdOf(device))),
          (error: unknown) => context.log.error({ err: error, jobId: job.id }, 'end of a job not passed on'),
        );
      }),

    onDevicesChanged: (listener) => context.devicesChanged.add(listener),
  };
}
