import type { PrivateMemory } from '@fleetlora/bench/lib/private-memory';
import { reportSwitches, type SwitchRounds } from '@fleetlora/bench/switching/report-switches';
import type { SwitchAnswer } from '@fleetlora/bench/switching/switch-spec';
import t from 'tap';

const MIB = 2 ** 20;
const memory = (anonymousMib: number, privateMib = anonymousMib): PrivateMemory => ({
  anonymousBytes: anonymousMib * MIB,
  privateBytes: privateMib * MIB,
  residentBytes: (anonymousMib + 100) * MIB,
});

/** Three candidates: the first slow to come, the others ready after `readyMs` and 3 ms slower at first. */
function answer(readyMs: number, anonymousMib: number, change: Partial<SwitchAnswer> = {}): SwitchAnswer {
  return {
    readyMs: [1000, readyMs, readyMs],
    firstMs: [500, 8, 8],
    againMs: [5, 5, 5],
    stepMs: [100, 4, 6],
    logits: [
      [0, 1],
      [0, 2],
      [0, 3],
    ],
    laterReadBytes: 0,
    memory: { before: memory(10), withOne: memory(20), withAll: memory(10 + anonymousMib) },
    ...change,
  };
}

const good: SwitchRounds = {
  'one session': [answer(1, 30), answer(1, 30)],
  mapped: [answer(27, 40), answer(37, 40)],
  prepacked: [answer(97, 300), answer(97, 300)],
  separate: [answer(117, 400), answer(77, 400)],
};
const bytes = { genome: 300, separate: 5000 };
const failed = (change: Partial<SwitchRounds>): string[] =>
  reportSwitches({ ...good, ...change }, bytes)
    .checks.filter(({ passed }) => !passed)
    .map(({ name }) => name);

t.test(
  'a switch is the opening and what the first run takes longer; the first candidate is left out',
  async (t) => {
    const { figures } = reportSwitches(good, bytes);
    t.match(figures, {
      candidates: 3,
      newRanksMs: 4,
      newShapeMs: 35,
      separateModelMs: 100,
      // 120 against 30 ms, and 80 against 40.
      newShapeAgainstSeparateModel: { min: 2, median: 3 },
      anonymousOfSeparateToMapped: 10,
      privateOfSeparateToMapped: 10,
    });
    t.match((figures.holdings as { holding: string }[])[1], {
      holding: 'mapped',
      readyMs: 32,
      slowestSwitchMs: 40,
      tokenMs: 5,
      anonymousMib: 40,
      residentMib: 40,
      // 30 MiB above those with one, of two candidates.
      anonymousMibEachFurther: 15,
      bytesToShip: 300,
    });
    t.match((figures.holdings as { holding: string }[])[3], { holding: 'separate', bytesToShip: 5000 });
    t.strictSame(failed({}), []);
  },
);

for (const [name, change, wanted] of [
  ['6 ms for new ranks', { 'one session': [answer(3, 30)] }, /^new ranks on an open session/],
  [
    'a read for new ranks',
    { 'one session': [answer(1, 30, { laterReadBytes: 1 })] },
    /^bytes of weight files/,
  ],
  [
    'slower than a separate model',
    { mapped: [answer(120, 40), answer(120, 40)] },
    /^a new shape over mapped/,
  ],
  ['as much memory', { mapped: [answer(27, 400), answer(37, 400)] }, /mapped candidates take less anonymous/],
  [
    'another result than the separate model',
    {
      mapped: [
        answer(27, 40, {
          logits: [
            [0, 1],
            [0, 2],
            [0, 3.1],
          ],
        }),
        answer(37, 40),
      ],
    },
    /^largest difference of logits/,
  ],
  [
    'ranks that change nothing',
    {
      'one session': [
        answer(1, 30, {
          logits: [
            [0, 1],
            [0, 1],
            [0, 3],
          ],
        }),
      ],
    },
    /^one session: candidates that compute what no other does/,
  ],
] as const)
  t.test(`${name}: a check fails`, async (t) => {
    t.match(failed(change)[0], wanted);
  });
