/** What campaigns under test search for and on, and what their devices measure. */
import type { JobEnd } from '@fleetlora/coordinator/campaign';
import {
  type Adapter,
  type Base,
  type Dataset,
  defaultMeasurePlan,
  type Measurement,
  type SearchStart,
} from '@fleetlora/shared/protocol';
import { costOf, type Genome, presets, type SearchSpaceFile } from '@fleetlora/shared/space';

export const SHAPE = { hidden: 256, qWidth: 256, kvWidth: 128, vocab: 4096 };
export const digestOf = (letter: string): string => letter.repeat(64);

/** A measurement with these medians. */
export function measurement(decodeMs: number, prefillMs: number, genome: Genome): Measurement {
  const timing = (ms: number) => ({ p50Ms: ms, p90Ms: ms, n: 1, samplesMs: [ms] });
  const cost = costOf(genome, SHAPE);
  return {
    plan: defaultMeasurePlan,
    runtime: 'fake',
    provider: 'cpu',
    coldLoadMs: 1,
    warmLoadMs: 1,
    prefill: timing(prefillMs),
    decode: timing(decodeMs),
    baselineBytes: 1e6,
    peakBytes: 40e6 + 4 * cost.baseParameters,
    anonymousBytes: 1e6,
    shippedBytes: 2 * cost.shippedParameters,
  };
}

/** What a device that is `slower` times as slow as that of `costByMacs` measures, sure to 1 %. */
export function slowed(genome: Genome, slower: number): Measurement {
  const { macs } = costOf(genome, SHAPE);
  const found = measurement((slower * macs) / 1e6, (slower * macs) / 1e5, genome);
  const withInterval = (timing: Measurement['decode']): Measurement['decode'] => ({
    ...timing,
    lowMs: 0.99 * timing.p50Ms,
    highMs: 1.01 * timing.p50Ms,
  });
  return { ...found, decode: withInterval(found.decode), prefill: withInterval(found.prefill) };
}

/** A device on which a token costs as much as its multiply-adds. */
export const costByMacs = (genome: Genome): JobEnd => {
  const { macs } = costOf(genome, SHAPE);
  return { outcome: 'measured', measurements: [measurement(macs / 1e6, macs / 1e5, genome)] };
};
/** Rows answered of 1,000: more with rank and width, in whole rows. */
export function correctRows(genome: Genome): number {
  const lost = genome.layers.reduce((sum, { ranks, width }) => sum + 40 / ranks.qkv + 7680 / width, 0);
  return Math.round(1000 - (4 * lost) / genome.layers.length);
}

export function searchStart(change: Partial<SearchStart> = {}): SearchStart {
  return {
    name: 'search',
    adapter: 'adapter',
    dataset: 'data',
    deviceClass: 'board',
    strategy: 'nsga2',
    quality: 'accuracy',
    costs: ['decodeMs'],
    trials: 20,
    seed: 1,
    scoreRows: 1000,
    finalRows: 500,
    finalPoints: 4,
    require: ['accuracy>=max-1.0'],
    plan: defaultMeasurePlan,
    maxTokens: 64,
    sentinelEvery: 0,
    ...change,
  };
}

export const adapter: Adapter = {
  id: 'adp_0000000001',
  name: 'adapter',
  baseId: 'base_0000000001',
  digest: digestOf('a'),
  bytes: 1,
  rankMax: 32,
  alpha: 64,
  space: presets.tied as SearchSpaceFile,
  files: {},
  createdAtMs: 0,
};
export const base: Base = {
  id: adapter.baseId,
  name: 'base',
  digest: digestOf('b'),
  bytes: 1,
  parameters: 1,
  layers: 8,
  hidden: 256,
  ffnWidth: 768,
  kvHeads: 4,
  vocab: 4096,
  tokenizerDigest: digestOf('c'),
  files: { fp32: { digest: digestOf('b'), bytes: 1 } },
  createdAtMs: 0,
};
export const dataset: Dataset = {
  id: 'data_0000000001',
  name: 'data',
  digest: digestOf('d'),
  rows: 2000,
  splits: { all: { digest: digestOf('d'), rows: 2000 } },
  task: { kind: 'completion' },
  report: null,
  createdAtMs: 0,
};
