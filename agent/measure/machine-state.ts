import type { MachineState } from '@fleetlora/shared/protocol';
import type { MachineReading } from '../host/ports.js';
import type { TakenSession, TakenSessions } from './take-sessions.js';

/** What the machine was like over the sessions that count. */
export function machineStateOf(
  before: MachineReading,
  after: MachineReading,
  { sessions, retaken }: TakenSessions,
  waitedMs: MachineState['waitedMs'],
): MachineState {
  return {
    temperatureStartC: before.temperatureC,
    temperatureEndC: after.temperatureC,
    throttled: anyOf(sessions.map(({ seen }) => seen.throttled)),
    onMains: allOf([before.onMains, after.onMains]),
    governor: before.governor,
    otherCores: meanOtherCores(sessions),
    waitedMs,
    retakenSessions: retaken,
  };
}

/** True where one is, null where nobody can tell. */
function anyOf(values: readonly (boolean | null)[]): boolean | null {
  return values.includes(true) ? true : values.includes(false) ? false : null;
}

/** False where one is: a device that was on its battery part of the time was on its battery. */
function allOf(values: readonly (boolean | null)[]): boolean | null {
  return values.includes(false) ? false : values.includes(true) ? true : null;
}

/** Weighted by the length of the sessions; null when no session can tell. */
function meanOtherCores(sessions: readonly TakenSession[]): number | null {
  const known = sessions.filter(({ seen }) => seen.otherCores !== null);
  const totalMs = known.reduce((sum, { tookMs }) => sum + tookMs, 0);
  if (totalMs === 0) return null;
  const sum = known.reduce((cores, { seen, tookMs }) => cores + (seen.otherCores ?? 0) * tookMs, 0);
  return Math.round((sum / totalMs) * 1000) / 1000;
}
