import type { Clock } from '@fleetlora/shared/clock';
import { openSharedDecoder, type SharedDecoder } from '@fleetlora/shared/engine/shared-decoder';
import { CodedError } from '@fleetlora/shared/errors';
import { completePlan } from '@fleetlora/shared/protocol/complete-plan';
import type { Random } from '@fleetlora/shared/random';
import type { Runtime } from '@fleetlora/shared/runtime';
import { decodeGenome, type Genome } from '@fleetlora/shared/space/genome';
import { openModel } from '../model/index.js';
import { loadDecoder } from './load-decoder.js';
import { entrantsOf, type SessionRequest, type SessionResult, shareOf } from './session-result.js';
import { sessionRandom, timeSession } from './time-session.js';

/**
 * Does what a session child is asked for.
 * @param runtime its time is what is measured
 * @param random draws places and rounds of a batch; of the batch's seed by default
 * @throws BAD_REQUEST when the plan names another execution provider than the runtime has
 */
export async function runSession(
  request: SessionRequest,
  runtime: Runtime,
  clock: Clock,
  random?: Random,
): Promise<SessionResult> {
  const { batch, plan, vocab, session, reload } = request;
  const { provider, sessions } = completePlan(plan);
  if (provider !== runtime.provider)
    throw new CodedError(
      'BAD_REQUEST',
      `the plan wants the execution provider ${provider}, this device has ${runtime.provider}`,
    );
  return timeSession(
    {
      load: () => loadDecoder(runtime, request),
      shared: batch && {
        entrants: entrantsOf(request),
        load: (places) => loadShared(runtime, request, batch.others, places),
      },
      vocab,
      runtime: runtime.version,
      provider: runtime.provider,
    },
    {
      plan,
      share: shareOf(plan, sessions),
      reload,
      random: random ?? sessionRandom(batch?.seed ?? 0, session),
    },
    clock,
  );
}

/**
 * All candidates of the batch and the duplicate of the first, each with factors of its own.
 * @param places index in the decoder of each of them
 */
async function loadShared(
  runtime: Runtime,
  { files, plan, positions }: SessionRequest,
  others: readonly string[],
  places: readonly number[],
): Promise<SharedDecoder> {
  const { model, close } = await openModel(files);
  try {
    const { folder, base, overlay, genome } = model;
    if (overlay === null || genome === null)
      throw new CodedError('BUG', 'a batch was given no super-adapter, wanted one and a genome');
    const entrants = [genome, ...others.map(decodeGenome), genome];
    const laid = places.map((_, place) => entrants[places.indexOf(place)] as Genome);
    return await openSharedDecoder(runtime, { folder, base, overlay }, laid, {
      threads: plan.threads,
      positions,
    });
  } finally {
    // Sessions map the files by themselves.
    await close();
  }
}
