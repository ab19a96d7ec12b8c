import { systemClock } from '@fleetlora/shared/clock';
import { createNodeRuntime } from '@fleetlora/shared/node/runtime';
import { answerParent, preferAsVictim } from '../child/index.js';
import { runSession } from './run-session.js';
import type { SessionRequest } from './session-result.js';

/**
 * Process of one timing session; answers a SessionResult.
 *
 * It loads single modules, and no schemas: beside a heap of some 30 MB, which those take, the same
 * steps of a small model took 5 % longer; a stand-alone loop that loads them slows down by as much.
 */
answerParent(async (request) => {
  await preferAsVictim(1000);
  return runSession(request as SessionRequest, createNodeRuntime(), systemClock);
});
