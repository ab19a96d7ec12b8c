import type { Measurement } from '@fleetlora/shared/protocol';
import type { PairJob } from './compare-pairs.js';
import { both, sessionsOf } from './quantities.js';
import type { Findings } from './rules-table.js';

/** To 0.1 µs, as the agent tells samples. */
const rounded = (samples: readonly number[]): number[] => samples.map((ms) => Math.round(ms * 1e4) / 1e4);

const rawMeasurement = (measurement: Measurement) => ({
  ...both((quantity) => sessionsOf(measurement, quantity)),
  coldLoadsMs: measurement.coldLoadsMs,
  warmLoadMs: measurement.warmLoadMs,
  machine: measurement.machine,
  beside: measurement.beside,
  flags: measurement.flags,
});

const rawPair = ({ genome, first, batch, slowerBatch, sessions }: PairJob) => ({
  genome,
  seed: batch.seed,
  first: rawMeasurement(first),
  /** By session, then by entrant: first, slower one, duplicate of the first. */
  shared: sessions.map(({ shared }) =>
    shared.map(({ decodeMs, prefillMs }) => ({ decode: rounded(decodeMs), prefill: rounded(prefillMs) })),
  ),
  duplicate: batch.duplicate,
  slower: slowerBatch.difference,
});

/** Every sample that was taken, in ms: what all figures are computed from. */
export function rawData({
  overhead,
  pairs,
  fixedPairs,
  ranked,
  hugePages,
  disturbed,
  disturbers,
  inherited,
}: Findings) {
  return {
    overhead: overhead.map(({ measurement, loop, loopBytes }) => ({
      agent: { ...rawMeasurement(measurement), peakBytes: measurement.peakBytes },
      loop: loop.map(({ loadMs, prefill, decode }) => ({
        loadMs,
        prefill: { warmUp: rounded(prefill.warmUp), samples: rounded(prefill.samples) },
        decode: { warmUp: rounded(decode.warmUp), samples: rounded(decode.samples) },
      })),
      loopBytes,
    })),
    pairs: pairs.map(rawPair),
    fixedPairs: fixedPairs.map(rawPair),
    ranked: { genomes: ranked.genomes, runs: ranked.runs.map((run) => run.map(rawMeasurement)) },
    hugePages: { asked: hugePages.asked.map(rawMeasurement), not: hugePages.not.map(rawMeasurement) },
    disturbers,
    disturbed: disturbed.map(({ quiet, withoutGate, withGate }) => ({
      quiet: rawMeasurement(quiet),
      withoutGate: rawMeasurement(withoutGate),
      withGate: rawMeasurement(withGate),
    })),
    inherited,
  };
}
