import type { Device } from '@fleetlora/shared/protocol';

/** Whether the device gives the same figure for the same work: "steady 1.8 %". */
export function describeSteadiness({
  qualification,
  facts,
}: Pick<Device, 'qualification' | 'facts'>): string {
  const emulated = facts.emulated ? ', emulated' : '';
  if (qualification === null) return `not asked${emulated}`;
  const { accepted, spreadPercent, fits } = qualification;
  // Found of another agent, runtime or processor, it says little of the present one.
  const before = fits ? '' : ' before';
  return `${accepted ? 'steady' : 'unsteady'} ${spreadPercent.toFixed(1)} %${before}${emulated}`;
}

/** What the device does now, or why it does nothing. */
export function describeActivity(device: Device): string {
  if (device.runningJobId === null) return device.idleReason ?? 'idle';
  const work = device.runningJobId === device.qualifyJobId ? 'qualifying' : 'measuring';
  const waiting = device.queuedJobs === 0 ? '' : `, ${device.queuedJobs} waiting`;
  return `${work}${describeProgress(device)}${waiting}`;
}

/** ": timing, 2 of 5 done", or what there is of it. */
function describeProgress({ progress }: Pick<Device, 'progress'>): string {
  if (progress === null) return '';
  const { step, done = 0, of } = progress;
  return `: ${step}${of === undefined ? '' : `, ${done} of ${of} done`}`;
}
