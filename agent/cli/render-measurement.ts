import type { Measurement, PercentDifference, Timing } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import { columns, pairs } from './printer.js';
import {
  describeEnergy,
  describeMachine,
  describeSustained,
  flagLines,
  formatMedian,
  formatMs,
  formatPercent,
  nameThreads,
} from './render-figures.js';

/** One candidate as people read it. */
export function renderMeasurement(genome: string, measured: Measurement): string {
  const { plan, decode, machine, sustained, energy } = measured;
  const rows: [string, string | null][] = [
    ['genome', genome],
    [`first token, prompt ${plan.promptTokens}`, describeTiming(measured.prefill)],
    [`a token, cache ${plan.kvTokens}`, describeTiming(decode)],
    ['tokens a second', (1000 / decode.p50Ms).toFixed(decode.p50Ms < 100 ? 0 : 1)],
    ['load', `${formatMs(measured.coldLoadMs)} cold, ${formatMs(measured.warmLoadMs)} warm`],
    [
      'peak memory',
      `${formatBytes(measured.peakBytes)}, ${formatBytes(measured.peakBytes - measured.baselineBytes)} above the empty process`,
    ],
    ['anonymous', formatBytes(measured.anonymousBytes)],
    ['shipped', formatBytes(measured.shippedBytes)],
    ['energy a token', energy ? `${describeEnergy(energy)} (${energy.source})` : null],
    [
      'sustained',
      sustained ? `over ${sustained.seconds.toFixed(0)} s: ${describeSustained(sustained)}` : null,
    ],
    ['runtime', `${measured.runtime}, ${measured.provider}, ${nameThreads(plan.threads)}`],
    ['machine', (machine && describeMachine(machine)) || null],
  ];
  const told = rows.filter((row): row is [string, string] => row[1] !== null);
  return [pairs(told), ...flagLines(measured.flags ?? [])].join('\n');
}

/** A batch: the first candidate whole, then what each costs beside it. */
export function renderComparison(genomes: readonly string[], measured: readonly Measurement[]): string {
  const [first] = measured;
  const rows = measured.map(({ prefill, decode, peakBytes, shippedBytes, batch }, index) => [
    shorten(genomes[index] ?? ''),
    formatMs(prefill.p50Ms),
    index === 0 ? '' : formatDifference(batch?.difference.prefill),
    formatMs(decode.p50Ms),
    index === 0 ? '' : formatDifference(batch?.difference.decode),
    formatBytes(peakBytes),
    formatBytes(shippedBytes),
  ]);
  const duplicate = first?.batch?.duplicate;
  const twin = [
    'its duplicate',
    '',
    formatDifference(duplicate?.prefill),
    '',
    formatDifference(duplicate?.decode),
  ];
  return [
    renderMeasurement(genomes[0] ?? '', first as Measurement),
    columns([['candidate', 'first token', '', 'a token', '', 'peak', 'shipped'], ...rows, twin]),
  ].join('\n\n');
}

/** The first layers tell candidates of one shape apart well enough for a table. */
function shorten(genome: string): string {
  return genome.length <= 40 ? genome : `${genome.slice(0, 39)}…`;
}

/** "2.51 ms ± 1.2 %, p90 2.60 ms, 65 samples of 5 sessions within 1.8 %". */
function describeTiming(timing: Timing): string {
  const { p90Ms, n, established, sessionSizes, spreadPercent, outliers } = timing;
  return [
    formatMedian(timing),
    `p90 ${formatMs(p90Ms)}${established?.p90 === false ? ' (not established)' : ''}`,
    `${n} samples${sessionSizes ? ` of ${sessionSizes.length} sessions` : ''}${spreadPercent === undefined ? '' : ` within ${formatPercent(spreadPercent)}`}`,
    ...(outliers ? [`${outliers} of them far off`] : []),
  ].join(', ');
}

/** "+3.1 % (2.8 to 3.4)"; what an interval around 0 says of it is left to the reader. */
function formatDifference(difference: PercentDifference | undefined): string {
  if (!difference) return '';
  const signed = (percent: number): string => {
    const digits = Math.abs(percent).toFixed(1);
    return Number(digits) === 0 ? digits : `${percent < 0 ? '−' : '+'}${digits}`;
  };
  return `${signed(difference.percent)} % (${signed(difference.low)} to ${signed(difference.high)})`;
}
