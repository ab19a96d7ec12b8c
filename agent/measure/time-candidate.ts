import type { Clock } from '@fleetlora/shared/clock';
import { argmax, type Decoder } from '@fleetlora/shared/engine';
import type { MeasurePlan, Timing, TimingPass } from '@fleetlora/shared/protocol';
import { quantile } from '@fleetlora/shared/statistics';

export interface TimedModel {
  /** Loads the model from its files, headers included. */
  readonly load: () => Promise<Decoder>;
  readonly vocab: number;
  readonly runtime: string;
  readonly provider: string;
}

/** Runs before the samples of each session: the first ones touch every page of the weights. */
const WARM_UPS = 2;

/**
 * The timing pass of a measurement.
 *
 * The model is loaded twice in this process: cold, then warm after the first was closed. Each
 * session brings half of the samples, because a session carries a bias of its own of 3 to 10 %
 * that no number of samples inside it averages out.
 *
 * A prefill sample is the time from the prompt's ids to the first output token. A decode sample
 * is one step at a cache of exactly `kvTokens`: the cache is filled once, and after each step its
 * length is set back, so the samples do not drift to longer caches. The token choice (argmax over
 * the logits) belongs to both.
 */
export async function timeCandidate(model: TimedModel, plan: MeasurePlan, clock: Clock): Promise<TimingPass> {
  const prompt = fillerIds(plan.promptTokens, model.vocab);
  const cached = fillerIds(plan.kvTokens, model.vocab);
  const loadMs: number[] = [];
  const prefillMs: number[] = [];
  const decodeMs: number[] = [];
  for (const session of [0, 1]) {
    const startMs = clock.monotonicMs();
    const decoder = await model.load();
    loadMs.push(clock.monotonicMs() - startMs);
    try {
      const prefillOnce = async (): Promise<number> => {
        decoder.reset();
        const beginMs = clock.monotonicMs();
        argmax(await decoder.prefill(prompt));
        return clock.monotonicMs() - beginMs;
      };
      await repeat(share(plan.prefillRepeats, session), prefillOnce, prefillMs);

      decoder.reset();
      await decoder.prefill(cached);
      const stepOnce = async (): Promise<number> => {
        decoder.setLength(plan.kvTokens);
        const beginMs = clock.monotonicMs();
        argmax(await decoder.step(prompt[0] as number));
        return clock.monotonicMs() - beginMs;
      };
      await repeat(share(plan.decodeRepeats, session), stepOnce, decodeMs);
    } finally {
      await decoder.close();
    }
  }
  return {
    runtime: model.runtime,
    provider: model.provider,
    coldLoadMs: roundMs(loadMs[0] as number),
    warmLoadMs: roundMs(loadMs[1] as number),
    prefill: timingOf(prefillMs),
    decode: timingOf(decodeMs),
  };
}

/** Of `repeats` samples the first session takes the larger half. */
function share(repeats: number, session: number): number {
  return session === 0 ? Math.ceil(repeats / 2) : Math.floor(repeats / 2);
}

async function repeat(times: number, once: () => Promise<number>, samplesMs: number[]): Promise<void> {
  if (times === 0) return;
  for (let i = 0; i < WARM_UPS; i++) await once();
  for (let i = 0; i < times; i++) samplesMs.push(await once());
}

/** Percentiles (nearest rank), count and all samples, outliers included. */
export function timingOf(samplesMs: readonly number[]): Timing {
  const rounded = samplesMs.map(roundMs);
  return {
    p50Ms: quantile(rounded, 0.5),
    p90Ms: quantile(rounded, 0.9),
    n: rounded.length,
    samplesMs: rounded,
  };
}

/** To 0.1 µs, below the clock's resolution: keeps 2,000 samples well inside a message. */
function roundMs(ms: number): number {
  return Math.round(ms * 1e4) / 1e4;
}

/** Some valid token ids: timings of a dense model do not depend on which. */
export function fillerIds(count: number, vocab: number): number[] {
  return Array.from({ length: count }, (_, index) => (index * 7919 + 17) % vocab);
}
