import {
  type Energy,
  flagMeanings,
  type MachineState,
  type MeasurementFlag,
  measurementFlags,
  type Qualification,
  type Sustained,
  type Timing,
} from '@fleetlora/shared/protocol';
import { formatSeconds } from '@fleetlora/shared/units';

/** "2.51 ms", "21.3 ms", "812 ms", "12.6 s": three digits, which is more than any of them holds. */
export function formatMs(ms: number): string {
  if (ms >= 9999.5) return `${(ms / 1000).toFixed(1)} s`;
  const digits = ms >= 99.95 ? 0 : ms >= 9.995 ? 1 : ms >= 0.9995 ? 2 : 3;
  return `${ms.toFixed(digits)} ms`;
}

/** "9.90  10.1  10.2 ms": the unit once, where all have the same. */
export function formatMsList(values: readonly number[]): string {
  const texts = values.map(formatMs);
  const units = new Set(texts.map((text) => text.split(' ')[1]));
  if (units.size !== 1) return texts.join('  ');
  return `${texts.map((text) => text.split(' ')[0]).join('  ')} ${[...units][0]}`;
}

/** Fewer sessions have an interval, too, but one that is many times as wide as anything it could tell. */
const SESSIONS_FOR_INTERVAL = 5;

/** A median with half its 95 % interval in percent, where there is one: "2.51 ms ± 1.2 %". */
export function formatMedian({ p50Ms, lowMs, highMs, sessionMediansMs }: Timing): string {
  const sessions = sessionMediansMs?.length ?? 0;
  if (lowMs === undefined || highMs === undefined || p50Ms === 0 || sessions < SESSIONS_FOR_INTERVAL)
    return formatMs(p50Ms);
  return `${formatMs(p50Ms)} ± ${((50 * (highMs - lowMs)) / p50Ms).toFixed(1)} %`;
}

/** "1.8 %". */
export function formatPercent(percent: number): string {
  return `${percent.toFixed(1)} %`;
}

/** "steady, 1.8 %" or "unsteady, 8.3 %". */
export function formatVerdict({
  accepted,
  spreadPercent,
}: Pick<Qualification, 'accepted' | 'spreadPercent'>): string {
  return `${accepted ? 'steady' : 'unsteady'}, ${formatPercent(spreadPercent)}`;
}

/** Lines "! busy: what it means", in the order of `measurementFlags`; none without flags. */
export function flagLines(flags: readonly MeasurementFlag[]): string[] {
  return partedFlagLines([{ part: '', flags }]);
}

/** The same of several parts: a flag that not all of them have names those that do. */
export function partedFlagLines(
  parts: readonly { readonly part: string; readonly flags: readonly MeasurementFlag[] }[],
): string[] {
  return measurementFlags.flatMap((flag) => {
    const having = parts.filter(({ flags }) => flags.includes(flag)).map(({ part }) => part);
    if (having.length === 0) return [];
    const where = having.length === parts.length ? '' : ` (${having.join(', ')})`;
    return [`! ${flag}${where}: ${flagMeanings[flag]}`];
  });
}

/** "1 thread", "4 threads". */
export function nameThreads(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`;
}

/** What the machine was like, as far as it tells; an empty text when it tells nothing. */
export function describeMachine(machine: MachineState): string {
  const {
    temperatureStartC: start,
    temperatureEndC: end,
    throttled,
    onMains,
    governor,
    otherCores,
  } = machine;
  const { cooling, quiet, serving } = machine.waitedMs;
  const waited = [
    [cooling, 'to cool'],
    [quiet, 'for quiet'],
    [serving, 'for requests'],
  ].flatMap(([ms, why]) => (Number(ms) >= 1000 ? [`${formatSeconds(Number(ms) / 1000)} ${why}`] : []));
  return [
    start !== null && end !== null && `${start.toFixed(0)} → ${end.toFixed(0)} °C`,
    throttled !== null && (throttled ? 'throttled' : 'not throttled'),
    onMains !== null && (onMains ? 'on mains' : 'on battery'),
    governor !== null && `governor ${governor}`,
    otherCores !== null && `others had ${otherCores.toFixed(2)} cores`,
    waited.length > 0 && `waited ${waited.join(', ')}`,
    machine.retakenSessions > 0 &&
      `${machine.retakenSessions} disturbed ${machine.retakenSessions === 1 ? 'session' : 'sessions'} taken anew`,
  ]
    .filter((part) => part !== false)
    .join(', ');
}

/** "2.51 ms → 2.76 ms (+10.0 %), throttled". */
export function describeSustained({ burstP50Ms, sustainedP50Ms, throttled }: Sustained): string {
  const change = burstP50Ms === 0 ? 0 : (100 * (sustainedP50Ms - burstP50Ms)) / burstP50Ms;
  const sign = change < 0 ? '−' : '+';
  const slower = throttled ? ', throttled' : '';
  return `${formatMs(burstP50Ms)} → ${formatMs(sustainedP50Ms)} (${sign}${formatPercent(Math.abs(change))})${slower}`;
}

/** "3.21 mJ at 1.3 W". */
export function describeEnergy({ joulesPerToken, watts }: Energy): string {
  return `${(1000 * joulesPerToken).toPrecision(3)} mJ at ${watts.toFixed(1)} W`;
}
