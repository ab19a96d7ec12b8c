import { answerParent } from '@fleetlora/agent/child';

answerParent(async () => {
  // Never answers; the interval keeps the process.
  return new Promise(() => setInterval(() => {}, 1000));
});
