import { answerParent } from '@fleetlora/agent/child';

answerParent(async () => {
  process.abort();
  return new Promise(() => setInterval(() => {}, 1000));
});
