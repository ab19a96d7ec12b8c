import { CodedError } from '@fleetlora/shared/errors';
import type { Beside } from '@fleetlora/shared/protocol';
import { quantile, sessionRatio } from '@fleetlora/shared/statistics';
import type { BesideResult } from './beside-result.js';

/**
 * The ratio of a candidate to the sentinel from their sessions in turns.
 * @param sessions at least one
 * @throws BUG without sessions
 */
export function summarizeBeside(sessions: readonly BesideResult[], sentinel: string, seed: number): Beside {
  if (sessions.length === 0) throw new CodedError('BUG', '0 sessions were taken, wanted at least 1');
  const timing = (quantity: 'prefillMs' | 'decodeMs'): Beside['decode'] => {
    const own = sessions.map(({ candidate }) => candidate[quantity].map(roundMs));
    const other = sessions.map((session) => session.sentinel[quantity].map(roundMs));
    return {
      ...sessionRatio(own, other),
      p50Ms: quantile(own.flat(), 0.5),
      sentinelP50Ms: quantile(other.flat(), 0.5),
      samplesMs: own.flat(),
      sentinelSamplesMs: other.flat(),
      sessionSizes: own.map(({ length }) => length),
    };
  };
  return { sentinel, seed, prefill: timing('prefillMs'), decode: timing('decodeMs') };
}

/** To 0.1 µs, as all samples are told; never to 0. */
function roundMs(ms: number): number {
  return Math.max(1, Math.round(ms * 1e4)) / 1e4;
}
