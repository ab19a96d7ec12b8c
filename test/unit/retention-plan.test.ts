import {
  type GarbageFacts,
  planGarbage,
  type SearchFacts,
  STALLED_MS,
  YOUNG_MS,
} from '@fleetlora/coordinator/retention';
import type { Garbage, Retention } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';

const DAY = 86_400_000;
const now = 1_700_000_000_000;
const digest = (letter: string): string => letter.repeat(64);
const forEver: Retention = {
  samplesDays: null,
  searchesDays: null,
  checkpointsDays: null,
  artifactsDays: null,
  artifactsBytes: null,
  automatic: false,
};
const nothing: GarbageFacts = {
  files: [],
  partials: [],
  checkpoints: [],
  searches: [],
  needed: new Set(),
};
const search: SearchFacts = {
  id: 'srch_1',
  name: 'first',
  endedAtMs: now - 10 * DAY,
  release: null,
  trials: 40,
  jobs: 1,
  rowBytes: 5000,
  sampleBytes: 3000,
};
const plan = (facts: Partial<GarbageFacts>, retention: Partial<Retention>) =>
  planGarbage({ ...nothing, ...facts }, { ...forEver, ...retention }, now);
const ids = (items: readonly Garbage[]): string => items.map(({ id }) => id[0]).join('');

t.test('unnamed files: kept 10 days, to the millisecond', (t) => {
  const file = (name: string, ageMs: number) => ({ digest: digest(name), bytes: 7, usedAtMs: now - ageMs });
  const files = [file('a', 10 * DAY - 1), file('b', 10 * DAY), file('c', 11 * DAY), file('d', 99 * DAY)];
  const { items, storedBytes, neededBytes } = plan(
    { files, needed: new Set([digest('d')]) },
    { artifactsDays: 10 },
  );
  t.equal(ids(items), 'cb', 'the longest unused first, the needed one never');
  t.same([storedBytes, neededBytes], [28, 7]);
  t.match(items[1], { kind: 'artifact', bytes: 7, lastUsedAtMs: now - 10 * DAY });
  t.equal(items[1]?.reason, 'unused for 10 days, kept 10 days');
  t.equal(ids(plan({ files }, {}).items), '', 'for ever');
  t.end();
});

t.test('quota of 100 bytes: unnamed files go oldest first until it is met, young ones never', (t) => {
  const file = (name: string, bytes: number, ageMs: number) => ({
    digest: digest(name),
    bytes,
    usedAtMs: now - ageMs,
  });
  const needed = file('n', 50, 99 * DAY);
  const old = file('o', 30, 2 * DAY);
  const older = file('p', 20, 3 * DAY);
  const edge = file('e', 40, YOUNG_MS);
  const young = file('y', 1000, YOUNG_MS - 1);
  const under = (files: readonly ReturnType<typeof file>[], retention: Partial<Retention> = {}): string =>
    ids(plan({ files, needed: new Set([needed.digest]) }, { artifactsBytes: 100, ...retention }).items);
  t.equal(under([needed, old, older]), '', '100 bytes');
  t.equal(under([needed, old, { ...older, bytes: 21 }]), 'p', '101 bytes: the oldest goes');
  t.equal(under([needed, old, older, { ...edge, bytes: 21 }]), 'po', '121 bytes: 20 are too few');
  t.equal(under([needed, old, older, young]), 'po', 'the hour-old one is too much, and stays');
  t.equal(under([needed, old, older, edge, young]), 'poe');
  t.equal(under([{ ...needed, bytes: 101 }]), '', 'what is needed may exceed it');
  t.equal(under([needed, old, { ...older, bytes: 60 }], { artifactsDays: 3 }), 'p', 'age first, then met');
  t.end();
});

t.test('half-written files: a day without a writing', (t) => {
  const partials = [
    { path: 'incoming/a', bytes: 1, usedAtMs: now - STALLED_MS + 1 },
    { path: 'incoming/b', bytes: 2, usedAtMs: now - STALLED_MS - 0.5 },
  ];
  const { items } = plan({ partials }, {});
  t.same(
    items.map(({ id, kind, lastUsedAtMs }) => [id, kind, lastUsedAtMs]),
    [['incoming/b', 'partial', now - STALLED_MS - 1]],
  );
  t.end();
});

t.test('samples: 10 days after the end, and only while there are some', (t) => {
  const kinds = (changes: Partial<SearchFacts>, retention: Partial<Retention>) =>
    plan({ searches: [{ ...search, ...changes }] }, retention).items.map(({ kind, bytes }) => [kind, bytes]);
  t.same(kinds({}, { samplesDays: 10 }), [['samples', 3000]]);
  t.same(kinds({ endedAtMs: now - 10 * DAY + 1 }, { samplesDays: 10 }), []);
  t.same(kinds({ sampleBytes: 0 }, { samplesDays: 10 }), []);
  t.same(kinds({ release: 'one' }, { samplesDays: 10 }), [['samples', 3000]], 'a release needs no samples');
  t.end();
});

t.test('searches: 10 days after the end, unless a release names them', (t) => {
  const kinds = (changes: Partial<SearchFacts>, retention: Partial<Retention>) =>
    plan({ searches: [{ ...search, ...changes }] }, retention).items.map(({ kind, bytes }) => [kind, bytes]);
  t.same(kinds({}, { searchesDays: 10 }), [['search', 5000]]);
  t.same(kinds({}, { searchesDays: 10, samplesDays: 1 }), [['search', 5000]], 'once, not its samples too');
  t.same(kinds({}, { searchesDays: 11, samplesDays: 10 }), [['samples', 3000]]);
  t.same(kinds({ release: 'one' }, { searchesDays: 1 }), []);
  t.same(kinds({ endedAtMs: now - 10 * DAY + 1 }, { searchesDays: 10 }), []);
  const [item] = plan({ searches: [search] }, { searchesDays: 1 }).items;
  t.equal(item?.what, 'search "first" with 40 trials and 1 job');
  t.equal(item?.reason, 'ended 10 days ago, searches are kept 1 day');
  t.end();
});

t.test('checkpoints, by the state of their training', (t) => {
  const reasons = (state: 'running' | 'finished' | 'failed' | 'stopped' | null, ageMs: number) =>
    plan(
      {
        checkpoints: [
          { id: 'trn_1', bytes: 9, usedAtMs: now - ageMs, training: state && { name: 'run', state } },
        ],
      },
      { checkpointsDays: 10 },
    ).items.map(({ reason }) => reason);
  t.same(reasons('running', 999 * DAY), []);
  t.same(reasons('stopped', 10 * DAY - 1), []);
  t.same(reasons('stopped', 10 * DAY), ['stopped, last written 10 days ago, checkpoints are kept 10 days']);
  t.same(reasons('failed', 11 * DAY), ['failed, last written 11 days ago, checkpoints are kept 10 days']);
  t.same(reasons('finished', YOUNG_MS - 1), []);
  t.same(reasons('finished', YOUNG_MS), ['finished: its super-adapter is stored']);
  t.same(reasons(null, YOUNG_MS - 1), [], 'its record may be about to be written');
  t.same(reasons(null, YOUNG_MS), ['no training has this id']);
  t.end();
});

t.test(
  '3,000 random states: nothing needed is ever planned, nothing young, and all of it is over its time',
  (t) => {
    const random = createRandom(20_231_114);
    const pick = random.pick;
    const states = ['running', 'finished', 'failed', 'stopped'] as const;
    const age = (): number =>
      pick([0, YOUNG_MS - 1, YOUNG_MS, DAY - 1, DAY, 5 * DAY, 30 * DAY, 400 * DAY, -DAY]);
    const limit = (): number | null => pick([null, 1, 7, 30, 365]);
    const many = <T>(make: (index: number) => T): T[] =>
      Array.from({ length: random.below(7) }, (_, i) => make(i));
    for (let round = 0; round < 3000; round++) {
      const facts: GarbageFacts = {
        files: many((i) => ({
          digest: digest(String(i)),
          bytes: random.below(1000),
          usedAtMs: now - age(),
        })),
        partials: many((i) => ({ path: `incoming/${i}`, bytes: 1, usedAtMs: now - age() })),
        checkpoints: many((i) => ({
          id: `trn_${i}`,
          bytes: 1,
          usedAtMs: now - age(),
          training: pick([null, ...states.map((state) => ({ name: 'run', state }))]),
        })),
        searches: many((i) => ({
          ...search,
          id: `srch_${i}`,
          endedAtMs: now - age(),
          release: pick([null, 'one']),
          sampleBytes: pick([0, 10]),
        })),
        needed: new Set(many((i) => digest(String(random.below(2) === 0 ? i : i + 3)))),
      };
      const retention: Retention = {
        samplesDays: limit(),
        searchesDays: limit(),
        checkpointsDays: limit(),
        artifactsDays: limit(),
        artifactsBytes: pick([null, 0, 500, 2000]),
        automatic: true,
      };
      const { items, storedBytes, neededBytes } = planGarbage(facts, retention, now);
      const fault = items.find((item) => !mayGo(item, facts, retention));
      if (fault) return t.fail('planned what has to stay', { fault, facts, retention });
      const keys = items.map(({ kind, id }) => `${kind} ${id}`);
      if (new Set(keys).size !== keys.length) return t.fail('planned twice', { keys });
      const going = items
        .filter(({ kind }) => kind === 'artifact')
        .reduce((sum, { bytes }) => sum + bytes, 0);
      if (going > storedBytes - neededBytes) return t.fail('more bytes than are spare', { items });
    }
    t.pass();
    t.end();
  },
);

/** The rules once more, from the side of what is kept. */
function mayGo({ kind, id, lastUsedAtMs }: Garbage, facts: GarbageFacts, retention: Retention): boolean {
  const ageMs = now - lastUsedAtMs;
  const over = (days: number | null): boolean => days !== null && ageMs >= days * DAY;
  if (kind === 'artifact')
    return (
      !facts.needed.has(id) &&
      ageMs >= YOUNG_MS &&
      (over(retention.artifactsDays) || retention.artifactsBytes !== null)
    );
  if (kind === 'partial') return ageMs >= STALLED_MS;
  if (kind === 'search')
    return facts.searches.find((one) => one.id === id)?.release === null && over(retention.searchesDays);
  if (kind === 'samples') return over(retention.samplesDays);
  const training = facts.checkpoints.find((one) => one.id === id)?.training;
  if (training?.state === 'running') return false;
  return ageMs >= YOUNG_MS && (!training || training.state === 'finished' || over(retention.checkpointsDays));
}
