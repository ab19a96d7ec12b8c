import { formatMs, formatMsList, renderReport } from '@fleetlora/agent/cli';
import { judgeRuns } from '@fleetlora/agent/qualify';
import type { DeviceReport, Measurement, Timing } from '@fleetlora/shared/protocol';
import t from 'tap';
import { calmMachine, makeMeasurement, steadyTiming } from '../lib/measurements.js';

const plain = { bold: (text: string): string => text };
const machine = { ...calmMachine, temperatureStartC: 48.4, temperatureEndC: 61.5, otherCores: 0.123 };
const decode = (ms: number, changes: Partial<Timing> = {}): Timing => ({
  ...steadyTiming(ms),
  p90Ms: 1.1 * ms,
  lowMs: 0.98 * ms,
  highMs: 1.02 * ms,
  spreadPercent: 3.14,
  ...changes,
});
const plan = {
  promptTokens: 128,
  kvTokens: 256,
  prefillRepeats: 15,
  decodeRepeats: 65,
  threads: 1,
  sessions: 5,
};
const measurement = (ms: number, changes: Partial<Measurement> = {}): Measurement =>
  makeMeasurement(ms, {
    plan: { ...plan, sustainedSeconds: 20 },
    decode: decode(ms),
    prefill: decode(50 * ms),
    machine,
    ...changes,
  });

const board: DeviceReport = {
  format: 'fleetlora-report',
  version: 1,
  day: '2026-11-24',
  quick: false,
  hardware: {
    board: 'Some Board Rev 1.0',
    cpuModel: 'Cortex-A76',
    arch: 'arm64',
    cores: 8,
    coreKinds: [
      { count: 4, model: 'cortex-a76', maxMHz: 2256 },
      { count: 4, model: 'cortex-a55', maxMHz: 1800 },
    ],
    caches: [
      { level: 1, type: 'data', bytes: 65536, cores: 1 },
      { level: 1, type: 'instruction', bytes: 65536, cores: 1 },
      { level: 2, type: 'unified', bytes: 524288, cores: 1 },
      { level: 3, type: 'unified', bytes: 3145728, cores: 8 },
    ],
    instructions: ['asimd', 'asimddp'],
    memoryBytes: 8_192_000_000,
    emulated: false,
    virtualMachine: null,
  },
  software: {
    agent: '0.3.0',
    runtime: 'onnxruntime-node 1.30.0',
    provider: 'cpu',
    node: '20.20.2',
    os: 'linux 6.1.75',
    distribution: 'Debian GNU/Linux 12 (bookworm)',
  },
  sensors: {
    thermometers: [
      { name: 'soc-thermal', celsius: 48.4, slowsFromC: 85 },
      { name: 'gpu-thermal', celsius: 47.1, slowsFromC: null },
    ],
    throttling: true,
    governor: 'ondemand',
    onMains: null,
    energy: 'ina',
  },
  qualification: {
    ...judgeRuns([10, 10.2, 9.9, 10.05, 10.1].map((ms) => makeMeasurement(ms, { machine }))),
    standard: 'standard-1',
    threads: 1,
    agentVersion: '0.3.0',
    runtime: 'onnxruntime-node 1.30.0',
    provider: 'cpu',
    cpuModel: 'Cortex-A76',
  },
  benchmark: [
    {
      standard: 'standard-1',
      threads: 1,
      result: measurement(10, {
        energy: { source: 'ina', joulesPerToken: 0.0321, watts: 3.21, tokens: 500, seconds: 5 },
        sustained: {
          seconds: 20,
          steps: 2000,
          burstP50Ms: 10,
          sustainedP50Ms: 10.4,
          throttled: false,
          temperatureEndC: 60,
        },
      }),
    },
    {
      standard: 'standard-1',
      threads: 8,
      result: measurement(4, {
        flags: ['throttled', 'outliers'],
        sustained: {
          seconds: 20,
          steps: 4000,
          burstP50Ms: 4,
          sustainedP50Ms: 6,
          throttled: true,
          temperatureEndC: 85,
        },
      }),
    },
  ],
};

t.test('a report of a board with sensors, two kinds of cores, throttled with all of them', async (t) => {
  t.equal(
    renderReport(board, plain),
    `Machine
  board                     Some Board Rev 1.0
  processor                 Cortex-A76, 8 cores, arm64
  cores                     4 × cortex-a76, 2.26 GHz + 4 × cortex-a55, 1.80 GHz
  caches                    L1 64 KiB data + 64 KiB code, L2 512 KiB, L3 3 MiB for 8 cores
  instructions              asimd asimddp
  memory                    8.19 GB
  system                    Debian GNU/Linux 12 (bookworm), linux 6.1.75
  runtime                   onnxruntime-node 1.30.0 (cpu), Node.js 20.20.2, fleetlora-agent 0.3.0
  sensors                   2 thermometers (hottest 48.4 °C), throttling, governor ondemand, energy (ina); cannot tell power source

Steadiness
  work                      the same work 5 times, 1 thread (standard-1)
  a token                   10.0  10.2  9.90  10.1  10.1 ms
  first token               100  102  99.0  101  101 ms
  spread                    3.0 % of the median a token, at most 5 % wanted: steady
  machine                   48 → 62 °C, others had 0.12 cores

Standard benchmark: standard-1, 6.4 million weights in F32, rank 16 beside them
                            1 thread                     8 threads
  first token, prompt 128   500 ms ± 2.0 %               200 ms ± 2.0 %
  a token, cache 256        10.0 ms ± 2.0 %              4.00 ms ± 2.0 %
    90th percentile         11.0 ms                      4.40 ms
    between sessions        3.1 %                        3.1 %
  tokens a second           100                          250
  load                      61.0 ms cold, 33.0 ms warm   61.0 ms cold, 33.0 ms warm
  peak memory               142.0 MB                     142.0 MB
    above an empty one      87.0 MB                      87.0 MB
  for 20 s on end           10.0 ms → 10.4 ms (+4.0 %)   4.00 ms → 6.00 ms (+50.0 %), throttled
  energy a token            32.1 mJ at 3.2 W             -

! throttled (8 threads): the processor ran slower for heat or power
! outliers (8 threads): more than 20 % of the samples lie far from the rest`,
  );
});

t.test('a report of an emulated machine on which the standard candidate does not run', async (t) => {
  const infeasible = 'timing was killed by SIGKILL: the system ran out of memory';
  const text = renderReport(
    {
      ...board,
      quick: true,
      hardware: {
        ...board.hardware,
        board: null,
        cpuModel: 'emulated cortex-a72',
        cores: 1,
        coreKinds: [],
        caches: [],
        instructions: [],
        emulated: true,
      },
      software: { ...board.software, distribution: null },
      sensors: { thermometers: [], throttling: false, governor: null, onMains: null, energy: null },
      qualification: { infeasible },
      benchmark: [{ standard: 'standard-1', threads: 1, result: { infeasible } }],
    },
    plain,
  );
  t.equal(
    text,
    `Machine
  processor                 emulated cortex-a72, 1 core, arm64
  memory                    8.19 GB
  system                    linux 6.1.75
  runtime                   onnxruntime-node 1.30.0 (cpu), Node.js 20.20.2, fleetlora-agent 0.3.0
  sensors                   cannot tell temperature, throttling, power source, energy

Steadiness
  infeasible                timing was killed by SIGKILL: the system ran out of memory

Standard benchmark: standard-1, 6.4 million weights in F32, rank 16 beside them
  1 thread                  infeasible: timing was killed by SIGKILL: the system ran out of memory

! quick: made to show that everything works; its figures compare with nothing`,
  );
});

t.test('too few sessions or samples: no interval, no percentile that is not established', async (t) => {
  const few = measurement(2, {
    decode: decode(2, {
      established: { p50: true, p90: false, p99: false },
      sessionMediansMs: [2, 2],
      spreadPercent: 0,
    }),
    flags: ['fewSessions'],
  });
  const text = renderReport(
    { ...board, benchmark: [{ standard: 'standard-1', threads: 1, result: few }] },
    plain,
  );
  t.match(text, /\n {2}a token, cache 256 {8}2\.00 ms\n {4}between sessions/);
  t.match(text, /\n! fewSessions \(1 thread\): fewer than 5 sessions/);
});

t.test('times: three digits; the unit once where all have the same', async (t) => {
  t.strictSame([0.12345, 0.9995, 9.994, 9.995, 99.94, 99.95, 9999.4, 9999.5].map(formatMs), [
    '0.123 ms',
    '1.00 ms',
    '9.99 ms',
    '10.0 ms',
    '99.9 ms',
    '100 ms',
    '9999 ms',
    '10.0 s',
  ]);
  t.equal(formatMsList([9.9, 10.1]), '9.90  10.1 ms');
  t.equal(formatMsList([9000, 12_562]), '9000 ms  12.6 s');
});
