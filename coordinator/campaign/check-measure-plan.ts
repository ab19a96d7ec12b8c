import { CodedError } from '@fleetlora/shared/errors';
import { mostResultSamples, resultSamples, type SearchStart } from '@fleetlora/shared/protocol';
import type { SearchSpace } from '@fleetlora/shared/space';
import { batchSizeOf } from './batch-size.js';
import { isBesideSentinel, longestTimeoutMs, timeoutOf } from './measure-work.js';

/**
 * Checks that the jobs of a search can be asked for and answered.
 * @param baseTimeoutMs for one candidate without a continuous run
 * @throws BAD_REQUEST when a job would take longer than one may, or its result hold more samples
 *   than its message can
 */
export function checkMeasurePlan(spec: SearchStart, space: SearchSpace, baseTimeoutMs: number): void {
  const { plan } = spec;
  const size = batchSizeOf(spec, space);
  const batch = size === 1 ? 'a candidate' : `a batch of ${size}`;
  const samples = resultSamples(plan, size, isBesideSentinel(spec) ? 'besideSentinel' : 'alone');
  if (samples > mostResultSamples)
    throw new CodedError(
      'BAD_REQUEST',
      `the result of ${batch} would hold ${samples} samples, at most ${mostResultSamples} fit into its message: ` +
        'fewer repeats or a smaller batch',
    );
  const { sustainedSeconds = 0 } = plan;
  const leftMs = longestTimeoutMs - timeoutOf(baseTimeoutMs, size, { ...plan, sustainedSeconds: 0 });
  const mostSeconds = Math.floor(leftMs / 1000 / size);
  if (sustainedSeconds > mostSeconds)
    throw new CodedError(
      'BAD_REQUEST',
      `sustainedSeconds is ${sustainedSeconds}, at most ${mostSeconds} of each candidate fit into the job of ${batch}`,
    );
}
