import type { Decoder } from '@fleetlora/shared/engine';
import type { MeasurePlan, MemoryPass } from '@fleetlora/shared/protocol';
import { fillerIds } from './filler-ids.js';
import type { ProcessMemory } from './process-memory.js';

/** How this process looks at its own memory. */
export interface MemoryGauge {
  /** False when the high-water mark cannot be reset. */
  reset(): Promise<boolean>;
  /** Null when the system keeps no high-water mark. */
  read(): Promise<ProcessMemory | null>;
  /** Resident bytes now: what remains where `read` has nothing. */
  residentBytes(): number;
}

export interface WeighedModel {
  readonly load: () => Promise<Decoder>;
  readonly vocab: number;
  readonly gauge: MemoryGauge;
  /** Called once the baseline is taken. */
  readonly onBaseline?: () => void;
}

/** Steps after the cache is filled: enough for every buffer of a step to exist. */
const STEPS = 4;

/**
 * The memory pass of a measurement: load, a prompt, a filled cache, a few steps, in a process
 * that did nothing before. Its own pass, because looking at memory disturbs timings.
 */
export async function weighCandidate(model: WeighedModel, plan: MeasurePlan): Promise<MemoryPass> {
  const { gauge } = model;
  const wasReset = await gauge.reset();
  const baseline = await gauge.read();
  let residentBytes = gauge.residentBytes();
  const baselineBytes = baseline?.highWaterBytes ?? residentBytes;
  let anonymousBytes = baseline?.anonymousBytes ?? 0;
  const look = async (): Promise<void> => {
    residentBytes = Math.max(residentBytes, gauge.residentBytes());
    anonymousBytes = Math.max(anonymousBytes, (await gauge.read())?.anonymousBytes ?? 0);
  };
  model.onBaseline?.();

  const decoder = await model.load();
  await look();
  await decoder.prefill(fillerIds(plan.promptTokens, model.vocab));
  await look();
  decoder.reset();
  await decoder.prefill(fillerIds(plan.kvTokens, model.vocab));
  for (let step = 0; step < STEPS; step++) {
    decoder.setLength(plan.kvTokens);
    await decoder.step(0);
  }
  await look();

  // Before the model is closed: the mark would stay, the resident set would not.
  const end = await gauge.read();
  await decoder.close();
  if (!end || !baseline)
    return {
      baselineBytes,
      peakBytes: residentBytes,
      anonymousBytes: residentBytes,
      memoryMethod: 'polledRss',
    };
  return {
    baselineBytes,
    peakBytes: end.highWaterBytes,
    anonymousBytes,
    memoryMethod: wasReset ? 'vmhwm' : 'vmhwmSinceStart',
  };
}
