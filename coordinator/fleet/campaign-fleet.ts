import { CodedError } from '@fleetlora/shared/errors';
import { encodeMessage, qualificationFits } from '@fleetlora/shared/protocol';
import type { CampaignFleet, DeviceSteadiness, TrialJob } from '../campaign/ports.js';
import { isCurrent, refusalByAge } from './agent-age.js';
import type { FleetContext } from './context.js';
import { dispatch } from './dispatch.js';
import { afterJobsEnded, endJob, jobEndOf } from './end-job.js';
import { mayMeasure } from './may-measure.js';
import type { StoredDevice, StoredJob } from './ports.js';
import { postponeQueued, refusalOf } from './postpone-jobs.js';
import { askDue, wantQualification } from './qualify-devices.js';
import { queueJob } from './queue-job.js';
import { tellDevice } from './tell-device.js';

/** The fleet as campaigns see it: idle devices, and jobs that always end. */
export function createCampaignFleet(context: FleetContext): CampaignFleet {
  const { store, clock, newId } = context;
  const bootIdOf = (device: StoredDevice | null): string => device?.facts.bootId ?? '';
  const toTrialJob = (job: StoredJob, bootId: string): TrialJob => ({
    jobId: job.id,
    kind: job.kind === 'sentinel' ? 'sentinel' : 'trial',
    searchId: job.searchId,
    trialIds: job.trialIds,
    deviceId: job.deviceId,
    bootId,
    end: jobEndOf(job),
    endedAtMs: job.endedAtMs,
  });

  return {
    async idleDevices(deviceClass, queue) {
      const unfinished = await store.jobs.listUnfinished();
      const hasRoom = ({ id }: StoredDevice): boolean =>
        queue === undefined
          ? !unfinished.some(({ deviceId }) => deviceId === id)
          : jobsOf(unfinished, queue.searchId, id).length < queue.ahead;
      return (await store.devices.list())
        .filter((device) => device.deviceClass === deviceClass && mayMeasure(device) && hasRoom(device))
        .filter(({ id, quarantine }) => quarantine === null && context.postponements.of(id) === null)
        .map((device) => ({
          id: device.id,
          bootId: bootIdOf(device),
          qualification: steadinessOf(device),
          takesBatches: isCurrent(device.facts),
        }));
    },

    async submit({ kind, searchId, trialIds, deviceId, ahead = 1, body }) {
      const jobId = newId('job');
      // A job that no message can carry must fail here, before it is stored.
      encodeMessage('job', { id: newId('msg'), session: 0, body: { jobId, ...body } });
      await store.transact(async ({ devices, jobs }) => {
        const device = await devices.find(deviceId);
        if (!device?.online) throw new CodedError('DEVICE_OFFLINE', `device ${deviceId} is offline`);
        const refusal =
          refusalOf(device) ??
          (device.quarantine && `it is in quarantine (${device.quarantine.reason})`) ??
          refusalByAge(device.facts, body) ??
          context.postponements.of(deviceId)?.reason;
        if (refusal !== undefined)
          throw new CodedError('STATE_CONFLICT', `device ${deviceId} may not measure: ${refusal}`);
        const held = jobsOf(await jobs.listUnfinished(deviceId), searchId, deviceId);
        if (held.length >= ahead)
          throw new CodedError(
            'STATE_CONFLICT',
            `device ${deviceId} has ${held.length} unfinished jobs of the search (${held[0]?.id} first), at most ${ahead} were wanted`,
          );
        await queueJob(context, { jobs }, { id: jobId, kind, searchId, trialIds, deviceId, body });
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

    async jobsOfSearch(searchId, kind) {
      const bootIds = new Map<string, string>();
      const jobs = await store.jobs.listOfSearch(searchId, kind);
      for (const { deviceId } of jobs)
        if (!bootIds.has(deviceId)) bootIds.set(deviceId, bootIdOf(await store.devices.find(deviceId)));
      return jobs.map((job) => toTrialJob(job, bootIds.get(job.deviceId) ?? ''));
    },

    async describeDevices(ids) {
      const devices = await Promise.all(ids.map((id) => store.devices.find(id)));
      return devices.flatMap((device) => {
        if (device === null) return [];
        const { id, name, quarantine } = device;
        return [{ id, name, qualification: steadinessOf(device), quarantine }];
      });
    },

    onJobEnded: (listener) =>
      context.jobEnded.add((job) => {
        if (job.kind === 'qualification') return;
        store.devices.find(job.deviceId).then(
          (device) => listener(toTrialJob(job, bootIdOf(device))),
          (error: unknown) => context.log.error({ err: error, jobId: job.id }, 'end of a job not passed on'),
        );
      }),

    async quarantine(deviceId, reason) {
      const put = await store.transact(async (repositories) => {
        const device = await repositories.devices.find(deviceId);
        if (device === null || device.quarantine !== null) return null;
        const quarantine = { reason, sinceMs: clock.nowMs() };
        await repositories.devices.update(deviceId, { quarantine });
        const why = `its device is in quarantine (${reason})`;
        const ended = await postponeQueued(repositories, deviceId, why, clock.nowMs(), 'candidates');
        return { ended, device: { ...device, quarantine } };
      });
      if (put === null) return;
      context.log.warn({ deviceId, reason }, 'device in quarantine');
      wantQualification(context, put.device);
      await askDue(context);
      await afterJobsEnded(context, put.ended);
    },

    onDevicesChanged: (listener) => context.devicesChanged.add(listener),
  };
}

/** What its qualification found; null when that was before an agent, runtime or processor that it has now. */
function steadinessOf({ qualification, facts }: StoredDevice): DeviceSteadiness | null {
  return qualification !== null && qualificationFits(qualification, facts) ? qualification : null;
}

const jobsOf = (jobs: readonly StoredJob[], searchId: string, deviceId: string): StoredJob[] =>
  jobs.filter((job) => job.searchId === searchId && job.deviceId === deviceId);
