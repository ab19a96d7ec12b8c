import { systemClock } from '@fleetlora/shared/clock';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { answerParent, preferAsVictim } from '../child/index.js';
import { loadDecoder } from './load-decoder.js';
import type { PassRequest } from './measure-candidate.js';
import { timeCandidate } from './time-candidate.js';

/** Process of a timing pass; answers a TimingPass. */
answerParent(async (request) => {
  const pass = request as PassRequest;
  const { plan, vocab } = pass;
  await preferAsVictim(1000);
  const runtime = createNodeRuntime();
  const load = () => loadDecoder(runtime, pass);
  return timeCandidate(
    { load, vocab, runtime: runtime.version, provider: runtime.provider },
    plan,
    systemClock,
  );
});
