import {
  parseSessionResult,
  type SessionModel,
  type SessionRequest,
  sessionRandom,
  shareOf,
  timeSession,
} from '@fleetlora/agent/measure';
import type { SharedDecoder } from '@fleetlora/shared/engine';
import t from 'tap';
import { createManualClock, type ManualClock } from '../lib/manual-clock.js';

const plan = { promptTokens: 4, kvTokens: 10, prefillRepeats: 3, decodeRepeats: 5, threads: 1 };
/** Runs below take 100 ms and more: warm-ups go by number, 2 prompts and 5 steps, 2 rounds of a batch. */
const WARM_PROMPTS = 2;
const WARM_STEPS = 5;
const WARM_ROUNDS = 2;

interface Log {
  /** Entrant of each run. */
  readonly prefills: { entrant: number; ids: number; length: number }[];
  readonly steps: { entrant: number; length: number }[];
  closed: number;
}

/**
 * A decoder in which a prompt takes 100 ms, the first step 101, the next 102 and so on. The entrant
 * at place i is 0.25 · i ms slower.
 */
function createSlowDecoder(clock: ManualClock, log: Log, size: number): SharedDecoder {
  let length = 0;
  let entrant = 0;
  let steps = 0;
  return {
    positions: 11,
    vocab: 3,
    size,
    get length() {
      return length;
    },
    get current() {
      return entrant;
    },
    use(index) {
      entrant = index;
    },
    async prefill(ids) {
      log.prefills.push({ entrant, ids: ids.length, length });
      length += ids.length;
      clock.advance(100 + entrant * 0.25);
      return new Float32Array(3);
    },
    async step() {
      log.steps.push({ entrant, length });
      length++;
      clock.advance(100 + ++steps + entrant * 0.25);
      return new Float32Array(3);
    },
    reset() {
      length = 0;
    },
    setLength(next) {
      length = next;
    },
    async close() {
      log.closed++;
    },
  };
}

function open(entrants = 0) {
  const clock = createManualClock();
  const logs: Log[] = [];
  const loads = [500, 90];
  const places: number[] = [];
  const decoder = (size: number): SharedDecoder => {
    const log: Log = { prefills: [], steps: [], closed: 0 };
    logs.push(log);
    return createSlowDecoder(clock, log, size);
  };
  const model: SessionModel = {
    load: async () => {
      clock.advance(loads.shift() ?? 0);
      return decoder(1);
    },
    shared:
      entrants === 0
        ? null
        : {
            entrants,
            async load(given) {
              places.push(...given);
              return decoder(entrants);
            },
          },
    vocab: 3,
    runtime: 'test 1',
    provider: 'cpu',
  };
  return { clock, logs, places, model };
}

t.test('share of a session: plans repeats over all sessions, rounded up [2, 5, 32 sessions]', (t) => {
  const of = (prefillRepeats: number, decodeRepeats: number, sessions: number) =>
    Object.values(shareOf({ ...plan, prefillRepeats, decodeRepeats }, sessions));
  t.same(of(15, 65, 5), [3, 13]);
  t.same(of(1, 6, 5), [1, 2]);
  t.same(of(3, 5, 2), [2, 3]);
  t.same(of(4, 64, 32), [1, 2]);
  // 5 · 205 would be 1025, one more than a result may hold.
  t.same(of(1020, 1024, 5), [204, 204]);
  t.end();
});

t.test('alone: cold load, prompts into an empty cache, steps at 10 tokens, warm load', async (t) => {
  const { clock, logs, model } = open();
  const share = { prefill: 3, decode: 4 };
  const work = { plan, share, reload: true, random: sessionRandom(1, 0) };
  const result = await timeSession(model, work, clock);
  t.same(result, {
    runtime: 'test 1',
    provider: 'cpu',
    coldLoadMs: 500,
    warmLoadMs: 90,
    prefillMs: [100, 100, 100],
    // Steps 1 to 5 warm up.
    decodeMs: [106, 107, 108, 109],
    shared: [],
  });
  const [first, second] = logs as [Log, Log];
  t.same(new Set(first.steps.map(({ length }) => length)), new Set([10]));
  const prompts = first.prefills.filter(({ ids }) => ids === 4);
  t.equal(prompts.length, WARM_PROMPTS + 3);
  t.equal(first.steps.length, WARM_STEPS + 4);
  t.same(new Set(prompts.map(({ length }) => length)), new Set([0]));
  t.same([first.closed, second.closed], [1, 1]);
  t.same(second.steps, [], 'the second load is loaded alone');
});

t.test('without a reload only the cold load is told', async (t) => {
  const { clock, logs, model } = open();
  const work = { plan, share: { prefill: 1, decode: 1 }, reload: false, random: sessionRandom(1, 1) };
  const { coldLoadMs, warmLoadMs } = await timeSession(model, work, clock);
  t.same([coldLoadMs, warmLoadMs, logs.length], [500, null, 1]);
});

t.test('5 steps warm up; short ones go on for 200 ms, and not beyond 64', async (t) => {
  for (const [stepMs, warmUps] of [
    [1000, 5],
    [40, 5],
    [39, 6],
    [3.2, 63],
    [1, 64],
  ] as const) {
    const clock = createManualClock();
    let runs = 0;
    const log: Log = { prefills: [], steps: [], closed: 0 };
    const quick: SharedDecoder = {
      ...createSlowDecoder(clock, log, 1),
      async step() {
        runs++;
        clock.advance(stepMs);
        return new Float32Array(3);
      },
    };
    const { model } = open();
    const work = { plan, share: { prefill: 1, decode: 7 }, reload: false, random: sessionRandom(1, 0) };
    await timeSession({ ...model, load: async () => quick }, work, clock);
    t.equal(runs - 7, warmUps, `${stepMs} ms`);
  }
});

t.test('a batch of 2 and the duplicate: rounds of all, each in an order of its own', async (t) => {
  const rounds = 40;
  const orders = async (seed: number, session: number) => {
    const { clock, logs, places, model } = open(3);
    const share = { prefill: 2, decode: rounds };
    const work = { plan, share, reload: false, random: sessionRandom(seed, session) };
    const { shared } = await timeSession(model, work, clock);
    // The decoder knows places, and a place is what makes a run slower.
    const steps = (logs[1] as Log).steps.map(({ entrant, length }) => ({
      entrant: places.indexOf(entrant),
      length,
    }));
    const order = steps.slice(3 * WARM_ROUNDS).map(({ entrant }) => entrant);
    // The n-th step of the session takes 100 + n ms, so a sample tells when it was taken.
    const misplaced = shared.flatMap(({ decodeMs }, entrant) =>
      decodeMs.filter((ms, round) => {
        const taken = ms - 100 - (places[entrant] as number) * 0.25 - 3 * WARM_ROUNDS - 1;
        return order[taken] !== entrant || Math.floor(taken / 3) !== round;
      }),
    );
    t.same(misplaced, [], 'a sample is that of its entrant in its round');
    t.same(
      shared.map(({ decodeMs }) => decodeMs.length),
      [rounds, rounds, rounds],
    );
    t.same(String(steps.slice(0, 6).map(({ entrant }) => entrant)), '0,1,2,0,1,2', 'all warm up');
    t.same(new Set(steps.map(({ length }) => length)), new Set([10]));
    seenPlaces.add(String(places));
    return order;
  };
  const seenPlaces = new Set<string>();
  const order = await orders(7, 0);
  t.same(await orders(7, 0), order, 'equal seed and session: equal orders');
  t.not(JSON.stringify(await orders(7, 1)), JSON.stringify(order));
  t.not(JSON.stringify(await orders(8, 0)), JSON.stringify(order));
  for (let session = 2; session < 40; session++) await orders(7, session);
  t.equal(seenPlaces.size, 6, 'places are drawn for each session');
  // 40 fair draws of 6 orders: each comes up unless by a chance of 6 · (5/6)^40 = 0.4 %.
  const seen = new Set(
    Array.from({ length: rounds }, (_, round) => String(order.slice(round * 3, round * 3 + 3))),
  );
  t.equal(seen.size, 6);
  for (const place of [0, 1, 2]) {
    const first = order.filter((entrant, index) => index % 3 === place && entrant === 0).length;
    // 40 / 3 = 13.3, standard deviation 3.
    t.ok(first > 4 && first < 23, `entrant 0 came ${first} times at place ${place}`);
  }
});

t.test('seeds of neighbouring sessions and jobs give unlike orders', (t) => {
  const firsts = [0, 1, 2, 3].flatMap((seed) =>
    [0, 1, 2, 3, 4].map((session) => sessionRandom(seed, session).next()),
  );
  t.equal(new Set(firsts).size, 20);
  t.end();
});

t.test('an answer of a session is checked against what was asked', (t) => {
  const request: SessionRequest = {
    files: { folder: '/', base: 'b', overlay: 'a', genome: 'g' },
    plan,
    positions: 11,
    vocab: 3,
    session: 0,
    reload: true,
    batch: { others: ['g1:u:1.1.1.1.8'], seed: 3 },
  };
  const share = { prefill: 1, decode: 2 };
  const samples = { prefillMs: [5], decodeMs: [1, 2] };
  const answer = {
    runtime: 'r',
    provider: 'cpu',
    coldLoadMs: 1,
    warmLoadMs: 2,
    ...samples,
    shared: [samples, samples, samples],
  };
  t.same(parseSessionResult(answer, request, share), answer);
  const wrong = (changes: object, message: RegExp, asked = request): void =>
    void t.throws(() => parseSessionResult({ ...answer, ...changes }, asked, share), {
      code: 'MESSAGE_MALFORMED',
      message,
    });
  wrong({ decodeMs: [1] }, /decodeMs .* a list of 1, wanted 2 samples/);
  wrong({ decodeMs: [1, -1] }, /decodeMs\[1\] .* -1/);
  wrong({ decodeMs: [1, null] }, /decodeMs\[1\] .* null/);
  wrong({ shared: [samples] }, /shared .* a list of 1, wanted 3 entrants/);
  wrong({ shared: [samples, samples, { prefillMs: [5], decodeMs: [] }] }, /shared\[2\]\.decodeMs/);
  wrong({ coldLoadMs: 'fast' }, /coldLoadMs .* "fast"/);
  wrong({ warmLoadMs: null }, /warmLoadMs/);
  wrong({}, /shared .* a list of 3, wanted 0 entrants/, { ...request, batch: null });
  t.throws(() => parseSessionResult(null, request, share), /the answer .* null/);
  t.end();
});
