import { CodedError } from '@fleetlora/shared/errors';
import { type Conditions, type Device, qualificationFits } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { explainIdle } from './explain-idle.js';
import type { StoredDevice, StoredJob } from './ports.js';

type Sources = Pick<
  FleetContext,
  'store' | 'clock' | 'host' | 'postponements' | 'conditionsToldAtMs' | 'progress' | 'wants'
>;

/** All devices as people see them. */
export async function listDevices(sources: Sources): Promise<Device[]> {
  const unfinished = await sources.store.jobs.listUnfinished();
  const devices = await sources.store.devices.list();
  return devices.map((device) => toDevice(sources, device, unfinished, devices));
}

/** @throws NOT_FOUND */
export async function showDevice(sources: Sources, idOrName: string): Promise<Device> {
  const { store } = sources;
  const device = await store.devices.findByIdOrName(idOrName);
  if (device === null) throw new CodedError('NOT_FOUND', `no device with id or name "${idOrName}"`);
  return toDevice(sources, device, await store.jobs.listUnfinished(), await store.devices.list());
}

function toDevice(
  { clock, host, postponements, conditionsToldAtMs, progress, wants }: Sources,
  device: StoredDevice,
  unfinished: readonly StoredJob[],
  devices: readonly StoredDevice[],
): Device {
  const { session: _, ...shown } = device;
  const own = unfinished.filter(({ deviceId }) => deviceId === device.id);
  const isHere = host.bootId !== '' && device.facts.bootId === host.bootId;
  const running = own.find(({ state }) => state === 'SENT');
  const toldAtMs = device.online ? conditionsToldAtMs.get(device.id) : undefined;
  const passedMs = toldAtMs === undefined ? 0 : clock.monotonicMs() - toldAtMs;
  const conditions = device.conditions && atPresent(device.conditions, passedMs);
  return {
    ...shown,
    labels: [...shown.labels],
    conditions,
    qualification: device.qualification && {
      ...device.qualification,
      fits: qualificationFits(device.qualification, device.facts),
    },
    qualifyJobId: own.find(({ kind }) => kind === 'qualification')?.id ?? null,
    qualifyFailure: wants.failureOf(device.id),
    progress: running === undefined ? null : progress.of(running.id),
    runningJobId: running?.id ?? null,
    queuedJobs: own.filter(({ state }) => state === 'QUEUED').length,
    idleReason: explainIdle(
      { ...device, conditions },
      unfinished,
      devices,
      postponements.of(device.id),
      isHere ? host.workers() : [],
    ),
  };
}

/** Conditions with the time that it is there by now: a device does not repeat itself every minute. */
export function atPresent(conditions: Conditions, passedMs: number): Conditions {
  const [hours = 0, minutes = 0] = conditions.localTime.split(':').map(Number);
  const minuteOfDay = (hours * 60 + minutes + Math.floor(passedMs / 60_000)) % 1440;
  const two = (value: number): string => String(value).padStart(2, '0');
  return { ...conditions, localTime: `${two(Math.floor(minuteOfDay / 60))}:${two(minuteOfDay % 60)}` };
}
