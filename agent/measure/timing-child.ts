import { systemClock } from '@fleetlora/shared/clock';
import { openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { answerParent, preferAsVictim } from '../child/index.js';
import { openModel } from '../model/index.js';
import type { PassRequest } from './measure-candidate.js';
import { timeCandidate } from './time-candidate.js';

/** Process of a timing pass; answers a TimingPass. */
answerParent(async (request) => {
  const { files, plan, positions, vocab } = request as PassRequest;
  await preferAsVictim(1000);
  const runtime = createNodeRuntime();
  const load = async () => {
    const opened = await openModel(files);
    try {
      return await openDecoder(runtime, opened.model, { threads: plan.threads, positions });
    } finally {
      await opened.close();
    }
  };
  return timeCandidate(
    { load, vocab, runtime: runtime.version, provider: runtime.provider },
    plan,
    systemClock,
  );
});
