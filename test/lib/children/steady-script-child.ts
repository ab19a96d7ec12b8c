import { answerParent } from '@fleetlora/agent/child';

/** Stands in for a continuous run: says that it begins and ends, and has done 40 steps in 2 s. */
answerParent(async (_request, tell) => {
  tell('begin');
  tell('end');
  return { steps: 40, seconds: 2, burstP50Ms: 49, sustainedP50Ms: 52 };
});
