import { systemClock } from '@fleetlora/shared/clock';
import { createNodeRuntime } from '@fleetlora/shared/node/runtime';
import { answerParent, preferAsVictim } from '../child/index.js';
import type { BesideRequest } from './beside-result.js';
import { runBeside } from './run-beside.js';

/** Process of one session of a candidate beside the sentinel; answers a BesideResult. */
answerParent(async (request) => {
  await preferAsVictim(1000);
  return runBeside(request as BesideRequest, createNodeRuntime(), systemClock);
});
