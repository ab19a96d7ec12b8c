import type { Clock } from '@fleetlora/shared/clock';
import type { Decoder } from '@fleetlora/shared/engine/decoder';
import { argmax } from '@fleetlora/shared/engine/generate';
import { CodedError } from '@fleetlora/shared/errors';
import { median } from '@fleetlora/shared/statistics';
import { fillerIds } from './filler-ids.js';
import type { PassRequest } from './measure-task.js';

/** What the child of a continuous run is told; a JSON value. */
export interface SteadyRequest extends PassRequest {
  /** Length of the run. */
  readonly seconds: number;
}

/** What it answers; and it tells `begin` before the first step, `end` after the last. */
export interface SteadyResult {
  readonly steps: number;
  readonly seconds: number;
  /** Median step of the first tenth of the time, and of the last. */
  readonly burstP50Ms: number;
  readonly sustainedP50Ms: number;
}

/** As many as a session's: the first steps take half as long again. */
const WARM_UPS = 5;

/**
 * Decode steps without a pause, each at a cache of `kvTokens`, for so many seconds; at least one.
 * @param tell called right before the first step that counts, and right after the last
 */
export async function runSteadily(
  decoder: Decoder,
  { plan, seconds }: Pick<SteadyRequest, 'plan' | 'seconds'>,
  clock: Clock,
  tell: (what: 'begin' | 'end') => void,
): Promise<SteadyResult> {
  const [token = 0] = fillerIds(1, decoder.vocab);
  const step = async (): Promise<void> => {
    decoder.setLength(plan.kvTokens);
    argmax(await decoder.step(token));
  };
  await decoder.prefill(fillerIds(plan.kvTokens, decoder.vocab));
  for (let i = 0; i < WARM_UPS; i++) await step();
  tell('begin');
  const endsMs: number[] = [];
  const beginMs = clock.monotonicMs();
  do {
    await step();
    endsMs.push(clock.monotonicMs() - beginMs);
  } while ((endsMs.at(-1) as number) < seconds * 1000);
  tell('end');
  const steps = endsMs.length;
  const totalMs = endsMs.at(-1) as number;
  const durationsMs = endsMs.map((endMs, index) => endMs - (endsMs[index - 1] ?? 0));
  // At least one step each, were it longer than a tenth.
  const early = durationsMs.filter((_, index) => index === 0 || (endsMs[index] as number) <= totalMs / 10);
  const late = durationsMs.filter(
    (_, index) => index === steps - 1 || (endsMs[index - 1] ?? 0) >= totalMs * 0.9,
  );
  return { steps, seconds: totalMs / 1000, burstP50Ms: median(early), sustainedP50Ms: median(late) };
}

/** @throws MESSAGE_MALFORMED naming the field and the value found */
export function parseSteadyResult(answer: unknown): SteadyResult {
  const fields = (answer ?? {}) as Record<string, unknown>;
  const number = (name: keyof SteadyResult): number => {
    const value = fields[name];
    if (typeof value !== 'number' || !(value > 0 && value <= 1e9))
      throw new CodedError(
        'MESSAGE_MALFORMED',
        `${name} of a continuous run is ${JSON.stringify(value)}, wanted a number above 0 and up to 1e9`,
      );
    return value;
  };
  return {
    steps: number('steps'),
    seconds: number('seconds'),
    burstP50Ms: number('burstP50Ms'),
    sustainedP50Ms: number('sustainedP50Ms'),
  };
}
