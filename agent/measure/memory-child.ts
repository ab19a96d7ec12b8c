import { openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { answerParent, preferAsVictim } from '../child/index.js';
import { openModel } from '../model/index.js';
import type { PassRequest } from './measure-candidate.js';
import { readProcessMemory, resetHighWater } from './process-memory.js';
import { weighCandidate } from './weigh-candidate.js';

/** Process of a memory pass; tells `baseline` once that is taken and answers a MemoryPass. */
answerParent(async (request, tell) => {
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
  const gauge = {
    reset: resetHighWater,
    read: () => readProcessMemory('self'),
    residentBytes: () => process.memoryUsage.rss(),
  };
  return weighCandidate({ load, vocab, gauge, onBaseline: () => tell('baseline') }, plan);
});
