import type { DeviceReport, Hardware, Measurement, ReportedSensors } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import { standardDescription } from '../qualify/index.js';
import { columns, type Printer } from './printer.js';
import {
  describeEnergy,
  describeSustained,
  formatMedian,
  formatMs,
  formatPercent,
  nameThreads,
  partedFlagLines,
} from './render-figures.js';
import { renderQualification } from './render-qualification.js';

type Row = readonly string[];

/** Of all tables of the report, so that their values begin in one column. */
const FIRST_WIDTH = 23;

/** A report as people read it: the machine, whether it is steady, what it is capable of, what to doubt. */
export function renderReport(report: DeviceReport, { bold }: Pick<Printer, 'bold'>): string {
  const { qualification, benchmark } = report;
  const section = (title: string, rows: readonly Row[]): string =>
    `${bold(title)}\n${columns(rows, FIRST_WIDTH).replace(/^/gm, '  ')}`;
  const steadiness =
    'infeasible' in qualification
      ? [['infeasible', qualification.infeasible]]
      : renderQualification(qualification).rows;
  const notes = [
    ...(report.quick
      ? ['! quick: made to show that everything works; its figures compare with nothing']
      : []),
    ...partedFlagLines([
      { part: 'steadiness', flags: 'flags' in qualification ? qualification.flags : [] },
      ...benchmark.map(({ threads, result }) => ({
        part: nameThreads(threads),
        flags: ('flags' in result && result.flags) || [],
      })),
    ]),
  ];
  return [
    section('Machine', machineRows(report)),
    section('Steadiness', steadiness),
    section(`Standard benchmark: ${standardDescription}`, benchmarkRows(benchmark)),
    ...(notes.length === 0 ? [] : [notes.join('\n')]),
  ].join('\n\n');
}

function machineRows({ hardware, software, sensors }: DeviceReport): Row[] {
  const { board, cpuModel, cores, arch, coreKinds, caches, instructions, memoryBytes } = hardware;
  // The name of an emulated processor says that it is one.
  const nature = hardware.virtualMachine && !hardware.emulated ? ', virtual machine' : '';
  const rows: [string, string | null][] = [
    ['board', board],
    ['processor', `${cpuModel}, ${cores === 1 ? '1 core' : `${cores} cores`}, ${arch}${nature}`],
    ['cores', describeKinds(coreKinds)],
    ['caches', describeCaches(caches)],
    ['instructions', instructions.join(' ') || null],
    ['memory', formatBytes(memoryBytes)],
    ['system', [software.distribution, software.os].filter(Boolean).join(', ')],
    [
      'runtime',
      `${software.runtime} (${software.provider}), Node.js ${software.node}, fleetlora-agent ${software.agent}`,
    ],
    ['sensors', describeSensors(sensors)],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== null);
}

/** Nothing where all cores are of one kind and no frequency is known: the processor's name says it. */
function describeKinds(kinds: Hardware['coreKinds']): string | null {
  if (kinds.length < 2 && !kinds[0]?.maxMHz) return null;
  return kinds
    .map(
      ({ count, model, maxMHz }) =>
        `${count} × ${model}${maxMHz ? `, ${(maxMHz / 1000).toFixed(2)} GHz` : ''}`,
    )
    .join(' + ');
}

/** "L1 32 KiB data + 32 KiB code, L2 1 MiB, L3 32 MiB for 8 cores". */
function describeCaches(caches: Hardware['caches']): string | null {
  const kinds = { data: ' data', instruction: ' code', unified: '' };
  const levels = new Map<number, string[]>();
  for (const { level, type, bytes, cores } of caches) {
    const size = bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`;
    const told = `${size}${kinds[type]}${cores > 1 ? ` for ${cores} cores` : ''}`;
    levels.set(level, [...(levels.get(level) ?? []), told]);
  }
  return [...levels].map(([level, told]) => `L${level} ${told.join(' + ')}`).join(', ') || null;
}

function describeSensors(sensors: ReportedSensors): string {
  const { thermometers, throttling, governor, onMains, energy } = sensors;
  const hottest = thermometers.reduce<number | null>(
    (most, { celsius }) => Math.max(most ?? celsius, celsius),
    null,
  );
  const found = [
    hottest !== null &&
      `${thermometers.length === 1 ? '1 thermometer' : `${thermometers.length} thermometers`} (hottest ${hottest} °C)`,
    throttling && 'throttling',
    governor !== null && `governor ${governor}`,
    onMains !== null && (onMains ? 'power (mains)' : 'power (battery)'),
    energy !== null && `energy (${energy})`,
  ].filter((part) => part !== false);
  const missing = [
    hottest === null && 'temperature',
    !throttling && 'throttling',
    onMains === null && 'power source',
    energy === null && 'energy',
  ].filter((part) => part !== false);
  return [found.join(', '), missing.length > 0 && `cannot tell ${missing.join(', ')}`]
    .filter(Boolean)
    .join('; ');
}

/** A column a number of threads; what did not run at all has a row of its own. */
function benchmarkRows(benchmark: DeviceReport['benchmark']): Row[] {
  const infeasible: Row[] = [];
  const measured: { threads: number; result: Measurement }[] = [];
  for (const { threads, result } of benchmark)
    if ('infeasible' in result) infeasible.push([nameThreads(threads), `infeasible: ${result.infeasible}`]);
    else measured.push({ threads, result });
  const [first] = measured;
  if (!first) return infeasible;
  const { promptTokens, kvTokens, sustainedSeconds } = first.result.plan;
  /** No row for what no column has. */
  const row = (title: string, of: (measurement: Measurement) => string | null): Row[] => {
    const cells = measured.map(({ result }) => of(result));
    return cells.every((cell) => cell === null) ? [] : [[title, ...cells.map((cell) => cell ?? '-')]];
  };
  return [
    ['', ...measured.map(({ threads }) => nameThreads(threads))],
    ...row(`first token, prompt ${promptTokens}`, ({ prefill }) => formatMedian(prefill)),
    ...row(`a token, cache ${kvTokens}`, ({ decode }) => formatMedian(decode)),
    ...row('  90th percentile', ({ decode }) => (decode.established?.p90 ? formatMs(decode.p90Ms) : null)),
    ...row('  between sessions', ({ decode: { spreadPercent } }) =>
      spreadPercent === undefined ? null : formatPercent(spreadPercent),
    ),
    ...row('tokens a second', ({ decode }) => (1000 / decode.p50Ms).toFixed(decode.p50Ms < 100 ? 0 : 1)),
    ...row(
      'load',
      ({ coldLoadMs, warmLoadMs }) => `${formatMs(coldLoadMs)} cold, ${formatMs(warmLoadMs)} warm`,
    ),
    ...row('peak memory', ({ peakBytes }) => formatBytes(peakBytes)),
    ...row('  above an empty one', ({ peakBytes, baselineBytes }) => formatBytes(peakBytes - baselineBytes)),
    ...row(`for ${sustainedSeconds} s on end`, ({ sustained }) =>
      sustained ? describeSustained(sustained) : null,
    ),
    ...row('energy a token', ({ energy }) => (energy ? describeEnergy(energy) : null)),
    ...infeasible,
  ];
}
