import { answerParent } from '@fleetlora/agent/child';
import { readProcessMemory } from '@fleetlora/agent/measure';
import type { InheritedPeak } from './weigh-inherited.js';

/** Tells both peaks of a process that has done nothing. */
answerParent(async (): Promise<InheritedPeak> => {
  const memory = await readProcessMemory('self');
  return {
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
    highWaterBytes: memory?.highWaterBytes ?? 0,
  };
});
