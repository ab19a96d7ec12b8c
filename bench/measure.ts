import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { median } from '@fleetlora/shared/statistics';
import { atMost, type Bench, type BenchResult, type Check, type FigureValue, skip } from './lib/bench.js';
import { checkout } from './lib/reference.js';
import { readSurroundings } from './lib/surroundings.js';
import { comparePairs, equalPairs, slowerPairs, trueDifference } from './measuring/compare-pairs.js';
import {
  compareWithBareLoop,
  memoryRatio,
  overheadRatio,
  timeRatios,
} from './measuring/compare-with-bare-loop.js';
import { disturb } from './measuring/disturb.js';
import { compareHugePages } from './measuring/huge-pages.js';
import { countFound, countToldApart, coverage } from './measuring/intervals.js';
import { openMeasureGround } from './measuring/measure-ground.js';
import { type Quantity, quantities } from './measuring/quantities.js';
import { agreement, besideFigure, rankTwice, wholeFigure } from './measuring/rank-twice.js';
import { rawData } from './measuring/raw-data.js';
import { type Findings, rulesTable } from './measuring/rules-table.js';
import { weighInherited } from './measuring/weigh-inherited.js';

/** How much of each is measured. */
interface Extent {
  readonly repeats: number;
  readonly pairs: number;
  readonly fixedPairs: number;
  readonly candidates: number;
  readonly hugePages: number;
  readonly disturbances: number;
}

const full: Extent = { repeats: 20, pairs: 40, fixedPairs: 8, candidates: 30, hugePages: 5, disturbances: 1 };
const short: Extent = { repeats: 2, pairs: 2, fixedPairs: 1, candidates: 4, hugePages: 1, disturbances: 1 };

/** A busy machine must not make a quick run a long one; its figures are flagged. */
const quickWaits = { quietWaitSeconds: 2, coolWaitSeconds: 10 };

/** What is promised; of a quick run, whose few figures scatter more, only that nothing is far off. */
interface Goals {
  readonly overhead: number;
  readonly memory: number;
  /** Shares of the pairs. */
  readonly falseShare: number;
  readonly powerShare: number;
  readonly tau: number;
}
const goals: Goals = { overhead: 0.02, memory: 0.03, falseShare: 5 / 40, powerShare: 0.8, tau: 0.9 };
const quickGoals: Goals = { overhead: 0.1, memory: 0.06, falseShare: 0.5, powerShare: 0.5, tau: 0.5 };

/**
 * Whether the agent's figures can be trusted: against a program that knows nothing of it, against
 * themselves, and against differences that are known; and what each rule of measuring is good for.
 */
export const measureBench: Bench = {
  name: 'bench:measure',
  summary: "the agent's figures against a stand-alone loop, against themselves, and without each rule",
  options: {
    seed: 'of candidates and orders (1)',
    raw: 'JSON file for all raw samples (bench/results/measure-DATE.json; none with --quick)',
  },
  async run({ quick, options, workFolder, say }) {
    if (process.platform !== 'linux') return skip('it looks at memory in /proc, which only Linux has');
    const seed = parseSeed(options.seed ?? '1');
    const extent = quick ? short : full;
    const ground = await openMeasureGround(workFolder, seed, quick ? quickWaits : {});
    const surroundings = await readSurroundings(new Date());

    const overhead = await compareWithBareLoop(ground, extent.repeats, say);
    const pairs = await comparePairs(ground, extent.pairs, 'random', say);
    const fixedPairs = await comparePairs(ground, extent.fixedPairs, 'fixed', say);
    const ranked = await rankTwice(ground, extent.candidates, say);
    say('a candidate beside itself, with huge pages and without');
    const hugePages = await compareHugePages(ground, extent.hugePages);
    const cores = availableParallelism();
    say(`the same candidate while ${cores} other processes compute`);
    const disturbed = await disturb(ground, cores, extent.disturbances);
    const findings: Findings = {
      overhead,
      pairs,
      fixedPairs,
      ranked,
      hugePages,
      disturbed,
      disturbers: cores,
      inherited: await weighInherited(),
    };

    const result = report(findings, quick ? quickGoals : goals);
    const rawFile = options.raw ?? (quick ? null : defaultRawFile(surroundings.date));
    if (rawFile !== null) {
      await mkdir(dirname(rawFile), { recursive: true });
      const { figures, table } = result;
      const raw = { ...surroundings, quick, seed, plan: ground.plan, figures, table, ...rawData(findings) };
      await writeFile(rawFile, `${JSON.stringify(raw)}\n`);
      say(`raw samples are in ${rawFile}`);
    }
    return result;
  },
};

function parseSeed(text: string): number {
  const seed = Number(text);
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return seed;
  throw new CodedError('BAD_USAGE', `--seed is ${text}, wanted a whole number from 0 to ${2 ** 32 - 1}`);
}

const defaultRawFile = (date: string): string =>
  join(checkout, 'bench', 'results', `measure-${date.slice(0, 10)}.json`);

/** A figure of all repeats, and the smallest and the largest of single ones. */
interface Spread {
  readonly [name: string]: FigureValue;
  readonly all: number;
  readonly min: number;
  readonly max: number;
}

const spreadOf = (all: number, values: readonly number[]): Spread => ({
  all,
  min: Math.min(...values),
  max: Math.max(...values),
});

function report(findings: Findings, wanted: Goals): BenchResult {
  const { overhead, pairs, ranked } = findings;
  const ratios = (quantity: Quantity): Spread =>
    spreadOf(
      overheadRatio(overhead, quantity),
      overhead.map((repeat) => timeRatios(repeat)[quantity]),
    );
  const memory = overhead.map(memoryRatio);
  const figures = {
    overheadRatioDecode: ratios('decode'),
    overheadRatioPrefill: ratios('prefill'),
    memoryRatio: spreadOf(median(memory), memory),
    pairs: pairs.length,
    falseDifferencesDecode: countToldApart(equalPairs(pairs, 'decode')),
    falseDifferencesPrefill: countToldApart(equalPairs(pairs, 'prefill')),
    truePercent: 100 * trueDifference,
    powerDecode: countFound(slowerPairs(pairs, 'decode')) / pairs.length,
    powerPrefill: countFound(slowerPairs(pairs, 'prefill')) / pairs.length,
    coverageDecode: coverage(slowerPairs(pairs, 'decode'), 100 * trueDifference),
    coveragePrefill: coverage(slowerPairs(pairs, 'prefill'), 100 * trueDifference),
    candidates: ranked.genomes.length,
    kendallTauDecode: agreement(ranked, besideFigure('decode')),
    kendallTauPrefill: agreement(ranked, besideFigure('prefill')),
    kendallTauMsDecode: agreement(ranked, wholeFigure('decode')),
    kendallTauMsPrefill: agreement(ranked, wholeFigure('prefill')),
    flags: flagsOf(findings),
  };
  const most = Math.floor(wanted.falseShare * pairs.length);
  const off = ({ all }: Spread): number => Math.abs(all - 1);
  return {
    figures,
    table: rulesTable(findings),
    checks: [
      atMost('overheadRatio decode, distance to 1', off(figures.overheadRatioDecode), wanted.overhead),
      atMost('overheadRatio prefill, distance to 1', off(figures.overheadRatioPrefill), wanted.overhead),
      atMost('memoryRatio, distance to 1', off(figures.memoryRatio), wanted.memory),
      ...quantities.map((quantity) =>
        atMost(
          `false differences of ${pairs.length} equal pairs, ${quantity}`,
          countToldApart(equalPairs(pairs, quantity)),
          most,
        ),
      ),
      share('power: a true 3 % found, decode', figures.powerDecode, wanted.powerShare),
      share('power: a true 3 % found, prefill', figures.powerPrefill, wanted.powerShare),
      share('kendallTau of two runs, decode', figures.kendallTauDecode, wanted.tau),
      share('kendallTau of two runs, prefill', figures.kendallTauPrefill, wanted.tau),
    ],
  };
}

function share(name: string, found: number, wanted: number): Check {
  return { name, found: found.toFixed(3), wanted: `at least ${wanted}`, passed: found >= wanted };
}

/** What the agent itself says is doubtful in its measurements, and in how many of them. */
function flagsOf({ overhead, pairs, ranked }: Findings): Record<string, number> {
  const all = [
    ...overhead.map(({ measurement }) => measurement),
    ...pairs.map(({ first }) => first),
    ...ranked.runs.flat(),
  ];
  const counts: Record<string, number> = { measurements: all.length };
  for (const { flags = [] } of all) for (const flag of flags) counts[flag] = (counts[flag] ?? 0) + 1;
  return counts;
}
