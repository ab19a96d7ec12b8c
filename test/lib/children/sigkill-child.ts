import { answerParent } from '@fleetlora/agent/child';

answerParent(async () => {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => setInterval(() => {}, 1000));
});
