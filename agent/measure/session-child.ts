import { systemClock } from '@fleetlora/shared/clock';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { answerParent, preferAsVictim } from '../child/index.js';
import { runSession } from './run-session.js';
import type { SessionRequest } from './session-result.js';

/** Process of one timing session; answers a SessionResult. */
answerParent(async (request) => {
  await preferAsVictim(1000);
  return runSession(request as SessionRequest, createNodeRuntime(), systemClock);
});
