import { createNodeRuntime } from '@fleetlora/shared/node/runtime';
import { answerParent, preferAsVictim } from '../child/index.js';
import { loadDecoder } from './load-decoder.js';
import type { PassRequest } from './measure-task.js';
import { readProcessMemory, resetHighWater } from './process-memory.js';
import { weighCandidate } from './weigh-candidate.js';

/**
 * Process of a memory pass; tells `baseline` once that is taken and answers a MemoryPass.
 *
 * It loads single modules where it can, so that it weighs the candidate and little of the agent.
 */
answerParent(async (request, tell) => {
  const pass = request as PassRequest;
  const { plan, vocab } = pass;
  await preferAsVictim(1000);
  const runtime = createNodeRuntime();
  const load = () => loadDecoder(runtime, pass);
  const gauge = {
    reset: resetHighWater,
    read: () => readProcessMemory('self'),
    residentBytes: () => process.memoryUsage.rss(),
  };
  return weighCandidate({ load, vocab, gauge, onBaseline: () => tell('baseline') }, plan);
});
