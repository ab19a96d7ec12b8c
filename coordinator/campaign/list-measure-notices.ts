import {
  completePlan,
  type DriftCorrection,
  flagMeanings,
  type MeasurementFlag,
  measurementFlags,
  type SearchStart,
  type Trial,
} from '@fleetlora/shared/protocol';
import { median } from '@fleetlora/shared/statistics';
import { driftShare, formatChange } from './judge-drift.js';
import type { DeviceRecord } from './ports.js';
import { sentinelEveryOf } from './sentinel-book.js';

/** Sessions from which on their spread says something. */
const ENOUGH_SESSIONS = 5;
/** Trials that a notice names. */
const NAMED = 8;

/** What is known of the devices of a search beside its trials. */
export interface MeasuredBy {
  /** Devices that measured trials of it. */
  readonly devices: readonly DeviceRecord[];
  /** Sentinels whose trials are in doubt. */
  readonly doubtful: ReadonlySet<string>;
}

/** What a reader should know of the measurements before believing them, most serious first. */
export function listMeasureNotices(
  spec: SearchStart,
  trials: readonly Trial[],
  { devices, doubtful }: MeasuredBy,
): string[] {
  const measured = trials.filter(({ measurement }) => measurement !== null);
  if (measured.length === 0) return [];
  const nameOf = (id: string | null): string => devices.find((device) => device.id === id)?.name ?? `${id}`;
  return [
    ...noticeDrift(measured, devices, doubtful),
    ...noticeFlags(measured),
    ...noticeOtherSpeeds(measured, nameOf),
    ...noticeUncorrected(spec, measured, nameOf),
    ...noticeUnqualified(devices),
    ...noticeSessions(spec),
  ];
}

function noticeDrift(
  measured: readonly Trial[],
  devices: readonly DeviceRecord[],
  sentinels: ReadonlySet<string>,
): string[] {
  const quarantined = devices.flatMap(({ name, quarantine }) =>
    quarantine === null ? [] : [`device ${name} is in quarantine: ${quarantine.reason}`],
  );
  const doubtful = measured.filter(
    // Turns with the sentinel saw the change themselves.
    ({ correction }) => correction !== null && !correction.beside && sentinels.has(correction.sentinelJobId),
  );
  if (doubtful.length === 0) return quarantined;
  return [
    ...quarantined,
    `${nameTrials(doubtful)} in doubt: between the last sentinel that was well and the end of the jobs ` +
      'under way their device changed by more than 10 %',
  ];
}

function noticeFlags(measured: readonly Trial[]): string[] {
  const count = (flag: MeasurementFlag): number =>
    measured.filter(({ measurement }) => measurement?.flags?.includes(flag)).length;
  return measurementFlags.flatMap((flag) => {
    // Told of the plan, which is the cause.
    if (flag === 'fewSessions' || count(flag) === 0) return [];
    return [`${count(flag)} of ${measured.length} measurements are flagged ${flag}: ${flagMeanings[flag]}`];
  });
}

/** A device that takes another time for the sentinel, by the median of what its trials are corrected by. */
function noticeOtherSpeeds(measured: readonly Trial[], nameOf: (id: string | null) => string): string[] {
  const byDevice = new Map<string, DriftCorrection[]>();
  for (const { deviceId, correction } of measured)
    if (correction && deviceId !== null)
      byDevice.set(deviceId, [...(byDevice.get(deviceId) ?? []), correction]);
  return [...byDevice].flatMap(([deviceId, corrections]) => {
    const decode = median(corrections.map((correction) => correction.decode));
    const prefill = median(corrections.map((correction) => correction.prefill));
    if (Math.max(Math.abs(decode - 1), Math.abs(prefill - 1)) <= driftShare) return [];
    return [
      `device ${nameOf(deviceId)} takes another time for the sentinel than the reference device (decode ` +
        `${formatChange(decode - 1)}, prefill ${formatChange(prefill - 1)}): its times are shown and ranked as ` +
        'those of the reference; a class of alike devices needs no such correction',
    ];
  });
}

function noticeUncorrected(
  spec: SearchStart,
  measured: readonly Trial[],
  nameOf: (id: string | null) => string,
): string[] {
  const without = measured.filter(({ correction }) => correction === null);
  if (sentinelEveryOf(spec) === 0 || without.length === 0 || without.length === measured.length) return [];
  const names = [...new Set(without.map(({ deviceId }) => nameOf(deviceId)))];
  return [
    `${nameTrials(without)} not corrected: no sentinel was measured before on ${names.join(', ')}, whose agent is ` +
      'older than 0.3 or cannot run it',
  ];
}

function noticeUnqualified(devices: readonly DeviceRecord[]): string[] {
  const unsteady = devices.flatMap(({ name, qualification }) => {
    if (qualification?.accepted) return [];
    return qualification === null
      ? [name]
      : [`${name} (unsteady, ${qualification.spreadPercent.toFixed(1)} %)`];
  });
  if (unsteady.length === 0) return [];
  return [
    `not qualified: ${unsteady.join(', ')}; nothing says that the same work takes the same time there ` +
      '(fleetlora devices qualify)',
  ];
}

function noticeSessions({ plan }: SearchStart): string[] {
  const { sessions } = completePlan(plan);
  if (sessions >= ENOUGH_SESSIONS) return [];
  return [`measured in ${sessions} ${sessions === 1 ? 'session' : 'sessions'}: ${flagMeanings.fewSessions}`];
}

/** "trial #3 is", "trials #3, #4 and 12 more are". */
function nameTrials(trials: readonly Trial[]): string {
  const named = trials.slice(0, NAMED).map(({ number }) => `#${number}`);
  const more = trials.length - named.length;
  const list = more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ');
  return trials.length === 1 ? `trial ${list} is` : `trials ${list} are`;
}
