import type { Dataset, DatasetTask, SearchStart } from '@fleetlora/shared/protocol';
import t from 'tap';
import { correctRows, costByMacs, digestOf, searchStart, World } from '../lib/campaign-parts.js';
import { coded } from '../lib/coded.js';

const board = { id: 'dev_0000000001', deviceClass: 'board', measure: costByMacs };
const split = (letter: string, rows: number) => ({ digest: digestOf(letter), rows });
const report = { labels: null, imbalance: null, duplicateRows: 0, leaks: [], warnings: [] };
const generation: DatasetTask = { kind: 'generation', maxNewTokens: 128, scorer: { kind: 'exactMatch' } };

/** A world with these splits. */
function worldOf(splits: Dataset['splits'], change: Partial<Dataset> = {}): World {
  const world = new World([board]);
  world.dataset = { ...world.dataset, report, ...change, splits };
  return world;
}
const small: Partial<SearchStart> = { trials: 6, scoreRows: 100, finalRows: 50, require: [] };
/** The front of a finished search. */
async function run(world: World, change: Partial<SearchStart> = {}) {
  const { campaign } = world.open();
  await campaign.start(searchStart({ ...small, ...change }));
  await world.settled();
  return campaign.front('search');
}

for (const [splits, cheap, final] of [
  [{ all: split('a', 150) }, 'a 0+100', 'a 100+50'],
  [{ train: split('t', 9), validation: split('v', 100), test: split('e', 50) }, 'v 0+100', 'e 0+50'],
  [{ validation: split('v', 150) }, 'v 0+100', 'v 100+50'],
  [{ train: split('t', 9000), test: split('e', 150) }, 'e 0+100', 'e 100+50'],
] as const)
  t.test(`splits ${Object.keys(splits)}: scored on ${cheap}, the front again on ${final}`, async (t) => {
    const world = worldOf(splits, { task: generation });
    await run(world);
    t.same(
      [
        ...new Set(
          world.rowSets.map(({ skip, take, datasetDigest }) => `${datasetDigest[0]} ${skip}+${take}`),
        ),
      ],
      [cheap, final],
    );
    t.ok(world.rowSets.every(({ task }) => task === generation));
  });

t.test('splits that are too small for a search are named with their rows', async (t) => {
  const two = { train: split('t', 900), validation: split('v', 100), test: split('e', 50) };
  for (const [splits, change, ...words] of [
    [{ train: split('t', 900) }, {}, 'has the splits train', 'validation, test, all'],
    [two, { scoreRows: 101 }, 'has 100 rows in its validation split', '101 to score'],
    [two, { finalRows: 51 }, 'has 50 rows in its test split', '51 held out'],
    [
      { test: split('e', 150) },
      { finalRows: 51 },
      'has 150 rows in its test split',
      '100 to score and 51 held out',
      151,
    ],
    [{ all: split('a', 150) }, { finalRows: 51 }, 'has 150 rows, 100 to score and 51 held out'],
  ] as const) {
    const { campaign } = worldOf(splits).open();
    await t.rejects(campaign.start(searchStart({ ...small, ...change })), coded('BAD_REQUEST', ...words));
  }
  const { campaign } = worldOf(two).open();
  t.match(await campaign.start(searchStart(small)), { state: 'running' });
});

t.test('notices: an accuracy that all candidates share', async (t) => {
  const all = { all: split('a', 150) };
  for (const [right, quality, require, notice] of [
    [
      0,
      'accuracy',
      [],
      'no candidate has an answer right on 50 rows: accuracy cannot tell them apart; search with --quality loss',
    ],
    [
      0,
      'loss',
      [],
      'no candidate has an answer right on 50 rows: accuracy cannot tell them apart; the loss decides',
    ],
    [
      0,
      'loss',
      ['accuracy>=max-1.0', 'peakBytes<=900MB'],
      'no candidate has an answer right on 50 rows: accuracy cannot tell them apart; limit the loss ("loss<=max+0.1") instead of accuracy>=max-1.0',
    ],
    [
      1000,
      'loss',
      [],
      'every candidate has all 50 answers right: accuracy cannot tell them apart; the loss decides',
    ],
    [
      500,
      'loss',
      [],
      'every candidate has 25 of 50 answers right: accuracy cannot tell them apart; the loss decides',
    ],
  ] as const) {
    const world = worldOf(all);
    world.answer = () => right;
    t.same((await run(world, { quality, require: [...require] })).notices, [notice]);
  }
  const world = worldOf(all);
  world.answer = (genome) => (correctRows(genome) > 900 ? 20 : 0);
  t.same((await run(world)).notices, [], 'one row makes a difference');
  const alone = worldOf(all);
  alone.answer = () => 500;
  t.same(
    (await run(alone, { trials: 1 })).notices,
    [],
    'a single candidate has nothing to be told apart from',
  );
});

t.test('notices: answers that were cut, from more than 10 % on', async (t) => {
  for (const [cutRows, notices] of [
    [5, 0],
    [6, 1],
    [50, 1],
  ] as const) {
    const world = worldOf({ all: split('a', 150) }, { task: generation });
    world.cut = (row) => row < cutRows;
    const found = (await run(world)).notices;
    t.equal(found.length, notices, `${cutRows} of 50 answers`);
    if (notices > 0)
      t.match(found[0], new RegExp(`^${2 * cutRows} % of the answers reached their limit of 128 new tokens`));
  }
});

t.test('notices: splits that are missing, and rows that were not held out', async (t) => {
  const train = split('t', 900);
  for (const [splits, change, notice] of [
    [
      { train, validation: split('v', 150) },
      {},
      /^data set "data" has no test split: .* rows of its validation split/,
    ],
    [
      { train, test: split('e', 150) },
      {},
      /^data set "data" has no validation split: .* rows of its test split/,
    ],
    [{ all: split('a', 150) }, { finalRows: 0 }, /^no held-out rows were asked for/],
    [{ all: split('a', 150) }, { finalPoints: 0 }, /^no held-out rows were asked for/],
  ] as const) {
    const { notices } = await run(worldOf(splits), change);
    t.equal(notices.length, 1);
    t.match(notices[0], notice);
  }
  const three = { train, validation: split('v', 100), test: split('e', 50) };
  t.same((await run(worldOf(three))).notices, []);
});

t.test('notices: leaks into the splits that were scored on', async (t) => {
  const leaks = [
    { splits: ['train', 'validation'] as [string, string], rows: 3 },
    { splits: ['train', 'test'] as [string, string], rows: 1 },
    { splits: ['validation', 'test'] as [string, string], rows: 0 },
  ];
  const three = { train: split('t', 900), validation: split('v', 150), test: split('e', 50) };
  t.same((await run(worldOf(three, { report: { ...report, leaks } }))).notices, [
    'the splits train and validation of data set "data" share 3 prompts: scores on them are too good',
    'the splits train and test of data set "data" share 1 prompt: scores on them are too good',
  ]);
  const { notices } = await run(worldOf(three, { report: { ...report, leaks } }), { finalRows: 0 });
  t.notOk(
    notices.some((notice) => notice.includes('train and test')),
    'the test split was not used',
  );
});

t.test('a running search has notices of the scores so far', async (t) => {
  const world = worldOf({ all: split('a', 150) });
  world.answer = () => 0;
  const { campaign } = world.open();
  await campaign.start(searchStart({ ...small, trials: 20 }));
  await world.settled(() => world.trials.filter(({ state }) => state === 'finished').length >= 5);
  t.match((await campaign.front('search')).notices, [/^no candidate has an answer right on 100 rows/]);
  await world.settled();
});
