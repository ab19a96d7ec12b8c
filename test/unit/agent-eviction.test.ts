import { type EvictionFacts, type KeptFile, planEviction } from '@fleetlora/agent/artifacts';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';

const DAY = 86_400_000;
const now = 1_700_000_000_000;
const file = (name: string, bytes: number, ageMs: number): KeptFile => ({
  path: `/content/${name}`,
  digest: name,
  bytes,
  usedAtMs: now - ageMs,
});
const facts: EvictionFacts = {
  files: [],
  needed: new Set(),
  busySinceMs: null,
  comingBytes: 0,
  freeBytes: 1e9,
  limitBytes: null,
  nowMs: now,
};
const going = (changes: Partial<EvictionFacts>): string =>
  planEviction({ ...facts, ...changes })
    .map(({ digest }) => digest)
    .join('');

t.test('30 days without use, to the millisecond', (t) => {
  const files = [
    file('a', 1, 30 * DAY - 1),
    file('b', 1, 30 * DAY),
    file('c', 1, 31 * DAY),
    file('d', 1, 99 * DAY),
  ];
  t.equal(going({ files, needed: new Set(['d']) }), 'cb');
  t.end();
});

t.test('limit of 100 bytes, what comes included: the longest unused goes first', (t) => {
  const files = [file('a', 40, 1000), file('b', 30, 2000), file('c', 20, 3000)];
  t.equal(going({ files, limitBytes: 100 }), '', '90 bytes');
  t.equal(going({ files, limitBytes: 100, comingBytes: 10 }), '', '100 bytes');
  t.equal(going({ files, limitBytes: 100, comingBytes: 11 }), 'c', '101 bytes');
  t.equal(going({ files, limitBytes: 100, comingBytes: 30 }), 'c', '120 bytes');
  t.equal(going({ files, limitBytes: 100, comingBytes: 31 }), 'cb', '121 bytes');
  t.equal(going({ files, limitBytes: 100, comingBytes: 1000 }), 'cba', 'as far as it goes');
  t.equal(going({ files, limitBytes: 1, needed: new Set(['a', 'c']) }), 'b', 'what is needed stays above it');
  t.end();
});

t.test(
  'a disk with 50 bytes free: only as much goes as what comes needs, or nothing if that is too little',
  (t) => {
    const files = [file('a', 40, 1000), file('b', 30, 2000), file('c', 20, 3000)];
    const free = (comingBytes: number): string => going({ files, freeBytes: 50, comingBytes });
    t.equal(free(50), '');
    t.equal(free(51), 'c');
    t.equal(free(70), 'c');
    t.equal(free(71), 'cb');
    t.equal(free(140), 'cba');
    t.equal(free(141), '', 'no room even without all of it');
    t.equal(going({ files, freeBytes: null, comingBytes: 1e12 }), '', 'a system that does not tell');
    t.end();
  },
);

t.test('what was used since the work under way began stays, a second of slow file clock included', (t) => {
  const files = [file('a', 10, 999), file('b', 10, 1000), file('c', 10, 1001 + 1000)];
  const wanted = { files, limitBytes: 0 };
  t.equal(going({ ...wanted, busySinceMs: now - 1000 }), 'c');
  t.equal(going({ ...wanted, busySinceMs: now - 1001 - 1000 }), '');
  t.equal(going(wanted), 'cba');
  t.end();
});

t.test('3,000 random states: nothing needed or in use ever goes, and no more than was asked for', (t) => {
  const random = createRandom(7);
  for (let round = 0; round < 3000; round++) {
    const files = Array.from({ length: random.below(8) }, (_, index) =>
      file(
        String(index),
        random.below(50),
        random.pick([0, 500, 1500, 5000, 29 * DAY, 30 * DAY, 90 * DAY, -DAY]),
      ),
    );
    const state: EvictionFacts = {
      files,
      needed: new Set(files.filter(() => random.below(3) === 0).map(({ digest }) => digest)),
      busySinceMs: random.pick([null, now, now - 2000]),
      comingBytes: random.below(100),
      freeBytes: random.pick([null, 0, 20, 1000]),
      limitBytes: random.pick([null, 0, 50, 200]),
      nowMs: now,
    };
    const plan = planEviction(state);
    const bad = plan.find(
      ({ digest, usedAtMs }) =>
        state.needed.has(digest) || (state.busySinceMs !== null && usedAtMs >= state.busySinceMs - 1000),
    );
    if (bad) return t.fail('planned what has to stay', { bad, state });
    const asked = state.limitBytes !== null || (state.freeBytes ?? 1e9) < state.comingBytes;
    const early = plan.find(({ usedAtMs }) => now - usedAtMs < 30 * DAY);
    if (early && !asked) return t.fail('went before its time for nothing', { early, state });
  }
  t.pass();
  t.end();
});
