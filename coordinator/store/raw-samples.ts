import type { JobResult, Measurement } from '@fleetlora/shared/protocol';

/** Characters between the brackets of all lists of samples. */
export function sampleBytes(measurement: Measurement | null): number {
  if (measurement === null) return 0;
  const { prefill, decode, batch, beside } = measurement;
  const shared = batch?.sharedSamplesMs;
  const turns = beside ? [beside.prefill, beside.decode] : [];
  const lists = [
    prefill.samplesMs,
    decode.samplesMs,
    shared?.prefill ?? [],
    shared?.decode ?? [],
    ...turns.flatMap(({ samplesMs, sentinelSamplesMs }) => [samplesMs, sentinelSamplesMs]),
  ];
  return sum(lists.map((list) => JSON.stringify(list).length - 2));
}

/** What is left when raw samples are dropped: every figure that was made of them. */
export function withoutSamples(measurement: Measurement): Measurement {
  const { prefill, decode, batch, beside } = measurement;
  const none = { samplesMs: [], sentinelSamplesMs: [] };
  return {
    ...measurement,
    prefill: { ...prefill, samplesMs: [] },
    decode: { ...decode, samplesMs: [] },
    ...(batch?.sharedSamplesMs && {
      batch: { ...batch, sharedSamplesMs: { prefill: [], decode: [] } },
    }),
    ...(beside && {
      beside: { ...beside, prefill: { ...beside.prefill, ...none }, decode: { ...beside.decode, ...none } },
    }),
  };
}

/** As of all its measurements. */
export function resultSampleBytes(result: JobResult | null): number {
  if (result?.outcome !== 'measured') return 0;
  return sum([result.measurement, ...(result.others ?? [])].map(sampleBytes));
}

/** A result without the samples of its measurements. */
export function withoutResultSamples(result: JobResult | null): JobResult | null {
  if (result?.outcome !== 'measured') return result;
  return {
    ...result,
    measurement: withoutSamples(result.measurement),
    ...(result.others && { others: result.others.map(withoutSamples) }),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
