import { systemClock } from '@fleetlora/shared/clock';
import { createNodeRuntime } from '@fleetlora/shared/node/runtime';
import { answerParent, preferAsVictim } from '../child/index.js';
import { loadDecoder } from './load-decoder.js';
import { runSteadily, type SteadyRequest } from './run-steadily.js';

/** Process of a continuous run; tells `begin` and `end` and answers a SteadyResult. */
answerParent(async (request, tell) => {
  const order = request as SteadyRequest;
  await preferAsVictim(1000);
  const decoder = await loadDecoder(createNodeRuntime(), order);
  try {
    return await runSteadily(decoder, order, systemClock, tell);
  } finally {
    await decoder.close();
  }
});
