/** Has a scorer judge a row for an hour, and waits to be killed. */
import { createAnswerScorer } from '@fleetlora/coordinator/evaluation';

const judge = createAnswerScorer(
  { kind: 'module', source: 'export const score = () => { for (;;); };' },
  { batchMs: 3_600_000, heapMegabytes: 64, residentBytes: 1e9 },
);
await judge.judge([{ prompt: '', expected: '', answer: '' }]);
