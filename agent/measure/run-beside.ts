import type { Clock } from '@fleetlora/shared/clock';
import type { Runtime } from '@fleetlora/shared/runtime';
import type { BesideRequest, BesideResult } from './beside-result.js';
import { loadDecoder } from './load-decoder.js';
import type { SessionSamples } from './session-result.js';
import { takeRounds } from './take-rounds.js';
import { closing, sessionRandom } from './time-session.js';

/**
 * Steps in a row of one of the two: the first ones fetch its weights into the caches again, which
 * the other has used meanwhile, and the next are told.
 */
const burst = { leadIn: 2, samples: 8 } as const;

/** One fresh session that holds the candidate and the sentinel, and runs them in turns. */
export async function runBeside(
  request: BesideRequest,
  runtime: Runtime,
  clock: Clock,
): Promise<BesideResult> {
  const { plan, sentinel, seed, session, share } = request;
  const random = sessionRandom(seed, session);
  return closing(await loadDecoder(runtime, request), async (candidate) =>
    closing(await loadDecoder(runtime, { ...request, files: sentinel }), async (other) => {
      const entrants = [candidate, other].map((decoder) => ({ decoder, use: () => {} }));
      const order = (): number[] => random.shuffle([0, 1]);
      const [own, reference] = await takeRounds(entrants, { plan, share, order, burst }, clock);
      return { candidate: own as SessionSamples, sentinel: reference as SessionSamples };
    }),
  );
}
