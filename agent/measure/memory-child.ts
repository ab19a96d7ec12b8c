import { createNodeRuntime } from '@fleetlora/shared/node';
import { answerParent, preferAsVictim } from '../child/index.js';
import { loadDecoder } from './load-decoder.js';
import type { PassRequest } from './measure-candidate.js';
import { readProcessMemory, resetHighWater } from './process-memory.js';
import { weighCandidate } from './weigh-candidate.js';

/** Process of a memory pass; tells `baseline` once that is taken and answers a MemoryPass. */
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
