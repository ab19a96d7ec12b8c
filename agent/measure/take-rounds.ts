import type { Clock } from '@fleetlora/shared/clock';
import type { Decoder } from '@fleetlora/shared/engine';
import { argmax } from '@fleetlora/shared/engine/generate';
import type { MeasurePlan } from '@fleetlora/shared/protocol';
import { fillerIds } from './filler-ids.js';
import type { SessionSamples, SessionShare } from './session-result.js';

/**
 * Runs before samples: at least so many rounds and so many runs, and more of them for a while. Of
 * steps the first three of a session take half as long again, and the next few a little: their
 * buffers are laid out and their code is compiled.
 */
const warmUp = {
  rounds: 2,
  runs: { prefillMs: 2, decodeMs: 5 },
  /** A processor that was idle takes some 100 ms to its full frequency. */
  ms: 200,
  /** Where a run takes microseconds, the while ends here. */
  mostRuns: 64,
} as const;

/** One of those that are timed in turns. */
export interface Entrant {
  readonly decoder: Decoder;
  /** Makes its decoder run this entrant. */
  readonly use: () => void;
}

export interface Rounds {
  readonly plan: MeasurePlan;
  readonly share: SessionShare;
  /** Entrants of the next round, each once. */
  readonly order: () => readonly number[];
  /**
   * Steps of one entrant in a row: some that do not count, then at most so many samples. Absent: one
   * sample. Those that do not count are for entrants with weights of their own, which the one before
   * has driven out of the caches.
   */
  readonly burst?: { readonly leadIn: number; readonly samples: number };
}

/**
 * Warm-ups of all entrants, then rounds; first of prompts, then of steps.
 * @returns samples of each entrant
 */
export async function takeRounds(
  entrants: readonly Entrant[],
  { plan, share, order, burst = { leadIn: 0, samples: 1 } }: Rounds,
  clock: Clock,
): Promise<SessionSamples[]> {
  const vocab = (entrants[0] as Entrant).decoder.vocab;
  const prompt = fillerIds(plan.promptTokens, vocab);
  const token = prompt[0] as number;
  const samples = entrants.map((): SessionSamples => ({ prefillMs: [], decodeMs: [] }));

  const prefillOnce = async ({ decoder, use }: Entrant): Promise<number> => {
    use();
    decoder.reset();
    const beginMs = clock.monotonicMs();
    argmax(await decoder.prefill(prompt));
    return clock.monotonicMs() - beginMs;
  };
  const stepOnce = async ({ decoder, use }: Entrant): Promise<number> => {
    use();
    decoder.setLength(plan.kvTokens);
    const beginMs = clock.monotonicMs();
    argmax(await decoder.step(token));
    return clock.monotonicMs() - beginMs;
  };
  const warmUpAll = async (
    once: (entrant: Entrant) => Promise<number>,
    into: 'prefillMs' | 'decodeMs',
  ): Promise<void> => {
    const untilMs = clock.monotonicMs() + warmUp.ms;
    const isWarm = (round: number, runs: number): boolean =>
      round >= warmUp.rounds &&
      runs >= warmUp.runs[into] &&
      (runs >= warmUp.mostRuns || clock.monotonicMs() >= untilMs);
    for (let round = 0; !isWarm(round, round * entrants.length); round++)
      for (const entrant of entrants) await once(entrant);
  };

  await warmUpAll(prefillOnce, 'prefillMs');
  for (let taken = 0; taken < share.prefill; taken++)
    for (const index of order())
      samples[index]?.prefillMs.push(await prefillOnce(entrants[index] as Entrant));

  for (const decoder of new Set(entrants.map(({ decoder }) => decoder))) {
    decoder.reset();
    await decoder.prefill(fillerIds(plan.kvTokens, vocab));
  }
  await warmUpAll(stepOnce, 'decodeMs');
  for (let taken = 0; taken < share.decode; taken += burst.samples) {
    const count = Math.min(burst.samples, share.decode - taken);
    for (const index of order()) {
      const entrant = entrants[index] as Entrant;
      for (let step = 0; step < burst.leadIn; step++) await stepOnce(entrant);
      for (let step = 0; step < count; step++) samples[index]?.decodeMs.push(await stepOnce(entrant));
    }
  }
  return samples;
}
