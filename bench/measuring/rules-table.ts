import type { PercentDifference } from '@fleetlora/shared/protocol';
import { median } from '@fleetlora/shared/statistics';
import {
  apart,
  equalPairs,
  oneSession,
  type PairJob,
  pooled,
  slowerPairs,
  trueDifference,
  unpaired,
} from './compare-pairs.js';
import { firstRunPercent, type LoopRepeat, neighbourRatios, timeRatios } from './compare-with-bare-loop.js';
import type { Disturbed } from './disturb.js';
import { besideItselfPercent, type HugePages, stepMs } from './huge-pages.js';
import { countFound, countToldApart, halfWidth } from './intervals.js';
import { both, type Quantity, quantities } from './quantities.js';
import {
  agreement,
  besideFigure,
  besideFigureBy,
  firstSessionFigure,
  type TwoRuns,
  wholeFigure,
} from './rank-twice.js';
import type { InheritedPeak } from './weigh-inherited.js';

/** Everything that was measured. */
export interface Findings {
  readonly overhead: readonly LoopRepeat[];
  readonly pairs: readonly PairJob[];
  readonly fixedPairs: readonly PairJob[];
  readonly ranked: TwoRuns;
  readonly hugePages: HugePages;
  readonly disturbed: readonly Disturbed[];
  /** Processes that disturbed. */
  readonly disturbers: number;
  readonly inherited: InheritedPeak;
}

type Row = readonly [rule: string, figure: string, withIt: string, without: string, instead: string];

/** The same figures with each rule and without it, decode steps unless prompts are named. */
export function rulesTable(findings: Findings): { columns: readonly string[]; rows: readonly Row[] } {
  return {
    columns: ['rule', 'figure', 'with it', 'without', 'instead of it'],
    rows: [
      ...sessionRows(findings),
      ...sharedRows(findings),
      ...orderRows(findings),
      ...surroundingRows(findings),
    ],
  };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
const signed = (percent: number): string => `${percent >= 0 ? '+' : ''}${percent.toFixed(1)} %`;
const range = (values: readonly number[]): string =>
  `${Math.min(...values).toFixed(3)} to ${Math.max(...values).toFixed(3)}`;

function sessionRows({ ranked, overhead, hugePages }: Findings): Row[] {
  const single = (quantity: Quantity): number[] =>
    overhead.flatMap((repeat) => neighbourRatios(repeat, quantity));
  const ratios = overhead.map(timeRatios);
  const { asked, not } = hugePages;
  return [
    ...quantities.map(
      (quantity): Row => [
        'turns with the sentinel',
        `kendallTau of two runs, ${quantity}`,
        agreement(ranked, besideFigure(quantity)).toFixed(3),
        agreement(ranked, wholeFigure(quantity)).toFixed(3),
        'times in ms',
      ],
    ),
    ...quantities.flatMap((quantity): Row[] =>
      (
        [
          ['lower quartiles, trimmed mean', 'medians, plain mean', besideFigureBy(quantity, 'medians', 1)],
          ['twenty sessions of turns', 'the first ten of them', besideFigureBy(quantity, 'trimmed', 0.5)],
        ] as const
      ).map(([rule, instead, figure]) => [
        rule,
        `kendallTau of two runs, ${quantity}`,
        agreement(ranked, besideFigure(quantity)).toFixed(3),
        agreement(ranked, figure).toFixed(3),
        instead,
      ]),
    ),
    [
      'huge pages',
      'a candidate beside itself, from session to session',
      `± ${besideItselfPercent(asked).toFixed(2)} %`,
      `± ${besideItselfPercent(not).toFixed(2)} %`,
      'the pages that come',
    ],
    [
      'huge pages',
      'a token',
      `${stepMs(asked).toFixed(3)} ms`,
      `${stepMs(not).toFixed(3)} ms`,
      'the pages that come',
    ],
    ...quantities.map(
      (quantity): Row => [
        'five fresh sessions',
        `kendallTau of two runs, ${quantity}`,
        agreement(ranked, wholeFigure(quantity)).toFixed(3),
        agreement(ranked, firstSessionFigure(quantity)).toFixed(3),
        'the first session alone',
      ],
    ),
    [
      'five fresh sessions',
      'ratio to the stand-alone loop',
      range(ratios.map(({ decode }) => decode)),
      range(single('decode')),
      'one session against one run',
    ],
  ];
}

const of = (count: number, all: readonly unknown[]): string => `${count} of ${all.length}`;
const width = (differences: readonly PercentDifference[]): string =>
  `± ${halfWidth(differences).toFixed(2)} %`;

function sharedRows({ pairs }: Findings): Row[] {
  const rows = (
    rule: string,
    instead: string,
    equal: readonly PercentDifference[],
    slower: readonly PercentDifference[],
  ): Row[] => [
    [
      rule,
      'equal ones told apart',
      of(countToldApart(equalPairs(pairs, 'decode')), pairs),
      of(countToldApart(equal), equal),
      instead,
    ],
    [
      rule,
      '3 % slower one found',
      of(countFound(slowerPairs(pairs, 'decode')), pairs),
      of(countFound(slower), slower),
      instead,
    ],
    [rule, 'half width of the interval', width(slowerPairs(pairs, 'decode')), width(slower), instead],
  ];
  const apartBy = (by: 'samples' | 'sessions' | 'oneSession', slowedBy: number) =>
    apart(pairs, 'decode', by, slowedBy);
  return [
    ...rows(
      'shared sessions',
      'sessions of its own for each, all samples as independent',
      apartBy('samples', 0),
      apartBy('samples', trueDifference),
    ),
    ...rows(
      'shared sessions',
      'one session of its own for each',
      apartBy('oneSession', 0),
      apartBy('oneSession', trueDifference),
    ),
    ...rows(
      'shared sessions',
      'sessions of its own for each, by their medians',
      apartBy('sessions', 0),
      apartBy('sessions', trueDifference),
    ),
    ...rows(
      'interval from the spread between sessions',
      'all pairs as independent',
      pooled(pairs, 'decode', 'equal'),
      pooled(pairs, 'decode', 'slower'),
    ),
    ...rows(
      'paired by round',
      'the same samples, not paired',
      unpaired(pairs, 'decode', 'equal'),
      unpaired(pairs, 'decode', 'slower'),
    ),
    ...rows(
      'five shared sessions',
      'the first shared session alone',
      oneSession(pairs, 'decode', 'equal'),
      oneSession(pairs, 'decode', 'slower'),
    ),
  ];
}

function orderRows({ pairs, fixedPairs }: Findings): Row[] {
  const instead = 'the same order in every round';
  const bias = (jobs: readonly PairJob[]): string =>
    signed(median(equalPairs(jobs, 'decode').map(({ percent }) => percent)));
  const told = (jobs: readonly PairJob[], quantity: Quantity): string =>
    of(countToldApart(equalPairs(jobs, quantity)), jobs);
  return [
    ...quantities.map(
      (quantity): Row => [
        'random order',
        `equal ones told apart, ${quantity}`,
        told(pairs, quantity),
        told(fixedPairs, quantity),
        instead,
      ],
    ),
    ['random order', 'median difference of equal ones', bias(pairs), bias(fixedPairs), instead],
  ];
}

function surroundingRows({ overhead, disturbed, disturbers, inherited }: Findings): Row[] {
  const shift = (quantity: Quantity) => {
    const percent = (way: 'withGate' | 'withoutGate'): string =>
      signed(
        median(disturbed.map((one) => (100 * one[way][quantity].p50Ms) / one.quiet[quantity].p50Ms - 100)),
      );
    return { gated: percent('withGate'), blind: percent('withoutGate') };
  };
  const shifts = both(shift);
  const wholeRunPercent = (quantity: Quantity): string => {
    const all = overhead.flatMap(({ loop }) => loop.map((run) => run[quantity]));
    const early = all.map(({ warmUp, samples }) => {
      const taken = [...warmUp, ...samples].slice(0, samples.length);
      return (100 * median(taken)) / median(samples) - 100;
    });
    return signed(median(early));
  };
  return [
    ...quantities.map(
      (quantity): Row => [
        'quiet gate',
        `${quantity} figure, ${disturbers} processes compute for a while`,
        shifts[quantity].gated,
        shifts[quantity].blind,
        'measured at once',
      ],
    ),
    ...quantities.flatMap((quantity): Row[] => [
      [
        'warm-up',
        `${quantity}: first run against later ones`,
        '+0.0 %',
        signed(firstRunPercent(overhead, quantity)),
        'stand-alone loop, the first runs counted',
      ],
      [
        'warm-up',
        `${quantity}: median of a session's runs`,
        '+0.0 %',
        wholeRunPercent(quantity),
        'stand-alone loop, the first runs counted',
      ],
    ]),
    [
      'high-water mark of /proc',
      'peak of a process that does nothing, started by one of 400 MiB',
      megabytes(inherited.highWaterBytes),
      megabytes(inherited.maxRssBytes),
      'maxRSS of getrusage',
    ],
  ];
}
