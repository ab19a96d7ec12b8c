import type { Clock } from '@fleetlora/shared/clock';
import type { Decoder, SharedDecoder } from '@fleetlora/shared/engine';
import type { MeasurePlan } from '@fleetlora/shared/protocol';
import { createRandom, type Random } from '@fleetlora/shared/random';
import type { SessionResult, SessionSamples, SessionShare } from './session-result.js';
import { takeRounds } from './take-rounds.js';

export interface SessionModel {
  /** Loads the first candidate as a device that serves it would, headers included. */
  readonly load: () => Promise<Decoder>;
  /** The batch's entrants, to be loaded into one session; null for a candidate alone. */
  readonly shared: {
    readonly entrants: number;
    /** @param places of the entrants in memory */
    readonly load: (places: readonly number[]) => Promise<SharedDecoder>;
  } | null;
  readonly vocab: number;
  readonly runtime: string;
  readonly provider: string;
}

export interface SessionWork {
  readonly plan: MeasurePlan;
  readonly share: SessionShare;
  /** Whether to load a second time. */
  readonly reload: boolean;
  /** Orders the rounds of the shared session. */
  readonly random: Random;
}

/**
 * One fresh session of a measurement.
 *
 * First the absolute figure: the first candidate, loaded as it is served, prompts, then steps. Then,
 * for a batch, all entrants in one session, in rounds: in each every entrant once, in an order drawn
 * anew, so that neither a slow drift nor what ran before favours one of them. Nor does where its
 * factors lie: who gets which place in memory is drawn for each session.
 *
 * A prefill sample is the time from the prompt's ids to the first output token. A decode sample is
 * one step at a cache of exactly `kvTokens`: the cache is filled once, and after each step its
 * length is set back, so the samples do not drift to longer caches. The token choice (argmax over
 * the logits) belongs to both.
 */
export async function timeSession(
  model: SessionModel,
  { plan, share, reload, random }: SessionWork,
  clock: Clock,
): Promise<SessionResult> {
  const timed = async <T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> => {
    const beginMs = clock.monotonicMs();
    const value = await work();
    return { value, ms: clock.monotonicMs() - beginMs };
  };

  const cold = await timed(model.load);
  const absolute = await closing(cold.value, async (decoder) => {
    const alone = { decoder, use: () => {} };
    const [samples] = await takeRounds([alone], { plan, share, order: () => [0] }, clock);
    return samples as SessionSamples;
  });
  let warmLoadMs: number | null = null;
  if (reload) {
    const warm = await timed(model.load);
    warmLoadMs = warm.ms;
    await warm.value.close();
  }
  const { runtime, provider } = model;
  const shared = model.shared ? await timeShared(model.shared, { plan, share, random }, clock) : [];
  return { runtime, provider, coldLoadMs: cold.ms, warmLoadMs, ...absolute, shared };
}

/** Samples of all entrants of a batch, in their order. */
async function timeShared(
  shared: SessionModel['shared'] & object,
  { plan, share, random }: Omit<SessionWork, 'reload'>,
  clock: Clock,
): Promise<SessionSamples[]> {
  const entrants = Array.from({ length: shared.entrants }, (_, index) => index);
  const places = random.shuffle(entrants);
  return closing(await shared.load(places), (decoder) => {
    const users = places.map((place) => ({ decoder, use: () => decoder.use(place) }));
    return takeRounds(users, { plan, share, order: () => random.shuffle(entrants) }, clock);
  });
}

/** The chance that orders the rounds of one session: of equal seeds and numbers it is equal. */
export function sessionRandom(seed: number, session: number): Random {
  // Seeds of neighbouring sessions are far apart, and no two of a job are equal.
  return createRandom((seed + Math.imul(session + 1, 0x9e3779b9)) >>> 0);
}

/** Closes the decoder when the work is done, however it ended. */
export async function closing<D extends Decoder, T>(
  decoder: D,
  work: (decoder: D) => Promise<T>,
): Promise<T> {
  try {
    return await work(decoder);
  } finally {
    await decoder.close();
  }
}
