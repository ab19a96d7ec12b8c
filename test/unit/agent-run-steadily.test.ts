import { parseSteadyResult, runSteadily } from '@fleetlora/agent/measure';
import type { Decoder } from '@fleetlora/shared/engine';
import t from 'tap';
import { createManualClock } from '../lib/manual-clock.js';

const plan = { promptTokens: 4, kvTokens: 10, prefillRepeats: 1, decodeRepeats: 1, threads: 1 };

/** Runs a decoder whose n-th step (from 1) takes `stepMs(n)`, for `seconds`. */
async function run(stepMs: (step: number) => number, seconds: number) {
  const clock = createManualClock();
  const told: string[] = [];
  const lengths = new Set<number>();
  let steps = 0;
  let length = 0;
  const decoder: Decoder = {
    positions: 11,
    vocab: 3,
    get length() {
      return length;
    },
    async prefill(ids) {
      length += ids.length;
      return new Float32Array(3);
    },
    async step() {
      lengths.add(length);
      length++;
      clock.advance(stepMs(++steps));
      return new Float32Array(3);
    },
    reset() {},
    setLength(next) {
      length = next;
    },
    async close() {},
  };
  const result = await runSteadily(decoder, { plan, seconds }, clock, (what) =>
    told.push(`${what} after ${steps}`),
  );
  return { result, told, lengths: [...lengths] };
}

t.test('1 s of steps that take 10 ms, and 20 ms once it is hot', async (t) => {
  // 5 warm-ups of 10 ms; then 30 of 10 ms are 0.3 s, and 35 of 20 ms the rest.
  const { result, told, lengths } = await run((step) => (step <= 35 ? 10 : 20), 1);
  t.same(result, { steps: 65, seconds: 1, burstP50Ms: 10, sustainedP50Ms: 20 });
  t.same(lengths, [10], 'each step meets 10 tokens');
  t.same(told, ['begin after 5', 'end after 70']);
});

t.test('the first and the last tenth are tenths of the time, not of the steps', async (t) => {
  // Steps that count: one of 100 ms, 400 of 2 ms, one of 100 ms.
  const { result } = await run((step) => (step === 6 || step === 407 ? 100 : 2), 1);
  t.same(result, { steps: 402, seconds: 1, burstP50Ms: 100, sustainedP50Ms: 100 });
});

t.test('a step that is longer than the run is its only one', async (t) => {
  const { result } = await run(() => 3000, 2);
  t.same(result, { steps: 1, seconds: 3, burstP50Ms: 3000, sustainedP50Ms: 3000 });
});

t.test('an answer of a continuous run is checked', (t) => {
  const answer = { steps: 4, seconds: 2, burstP50Ms: 1, sustainedP50Ms: 3 };
  t.same(parseSteadyResult(answer), answer);
  for (const [changes, message] of [
    [{ steps: 0 }, /steps .* 0/],
    [{ seconds: '2' }, /seconds .* "2"/],
    [{ burstP50Ms: 2e9 }, /burstP50Ms .* 2000000000/],
  ] as const)
    t.throws(() => parseSteadyResult({ ...answer, ...changes }), { code: 'MESSAGE_MALFORMED', message });
  t.throws(() => parseSteadyResult(null), { code: 'MESSAGE_MALFORMED' });
  t.end();
});
