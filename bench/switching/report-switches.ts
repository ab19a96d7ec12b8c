import { median } from '@fleetlora/shared/statistics';
import { MiB } from '@fleetlora/shared/units';
import { atLeast, atMost, type BenchResult, holds } from '../lib/bench.js';
import type { PrivateMemory } from '../lib/private-memory.js';
import { type Holding, holdings, type SwitchAnswer } from './switch-spec.js';

/** What processes that held candidates the same way answered, in the order of the rounds. */
export type SwitchRounds = Readonly<Record<Holding, readonly SwitchAnswer[]>>;

/** The goal for new ranks on an open session. */
const RANK_SWITCH_MS = 5;
/** What exports may differ from our graphs by. */
const LOGITS = 2e-3;

/**
 * Figures and checks. A switch takes from the genome, or the name of a model's folder, to a candidate
 * whose runs take no longer than they do later: the opening, and what its first run takes above the
 * same run once more. The first candidate of a process, which also pays for the library, does not count.
 * Memory is that above the process before its first candidate, when all of them are open and have run.
 */
export function reportSwitches(
  rounds: SwitchRounds,
  bytes: { readonly genome: number; readonly separate: number },
): BenchResult {
  const candidates = rounds['one session'][0]?.readyMs.length ?? 0;
  const rows = holdings.map((holding) => rowOf(holding, rounds[holding], bytes));
  const of = (holding: Holding): SwitchRow => rows.find((row) => row.holding === holding) as SwitchRow;
  const [ranks, mapped, separate] = [of('one session'), of('mapped'), of('separate')];
  const newShapes = ratios(rounds.separate, rounds.mapped);
  return {
    figures: {
      candidates,
      newRanksMs: ranks.switchMs,
      newShapeMs: mapped.switchMs,
      separateModelMs: separate.switchMs,
      newShapeAgainstSeparateModel: newShapes,
      anonymousOfSeparateToMapped: separate.anonymousMib / mapped.anonymousMib,
      privateOfSeparateToMapped: separate.privateMib / mapped.privateMib,
      holdings: rows,
    },
    checks: [
      atMost('new ranks on an open session, median', ranks.switchMs, RANK_SWITCH_MS, ' ms'),
      atMost(
        'bytes of weight files read for new ranks',
        Math.max(...rounds['one session'].map(({ laterReadBytes }) => laterReadBytes)),
        0,
      ),
      holds('a new shape over mapped files is ready before a separate model is', newShapes.median > 1),
      ...(['anonymousMib', 'privateMib', 'residentMib'] as const).map((memory) =>
        holds(
          `${candidates} mapped candidates take less ${memory.replace('Mib', '')} memory than separate models`,
          mapped[memory] < separate[memory],
        ),
      ),
      holds(
        `${candidates} rank vectors on one session take less anonymous memory than separate models`,
        ranks.anonymousMib < separate.anonymousMib,
      ),
      atMost(
        'largest difference of logits between the same candidate mapped, prepacked and separate',
        Math.max(largestDifference(rounds, 'mapped'), largestDifference(rounds, 'prepacked')),
        LOGITS,
      ),
      ...(['one session', 'mapped'] as const).map((holding) =>
        atLeast(
          `${holding}: candidates that compute what no other does`,
          distinct(rounds[holding]),
          candidates,
        ),
      ),
    ],
  };
}

/** One way to hold candidates: medians over processes and candidates. */
type SwitchRow = {
  readonly holding: Holding;
  /** Until it can run. */
  readonly readyMs: number;
  readonly switchMs: number;
  readonly slowestSwitchMs: number;
  readonly tokenMs: number;
  readonly anonymousMib: number;
  readonly privateMib: number;
  readonly residentMib: number;
  /** What each candidate after the first added. */
  readonly anonymousMibEachFurther: number;
  /** Of a candidate to a device that has what all share. */
  readonly bytesToShip: number;
};

function rowOf(
  holding: Holding,
  answers: readonly SwitchAnswer[],
  bytes: { readonly genome: number; readonly separate: number },
): SwitchRow {
  const switches = answers.flatMap(switchTimes);
  const above = (of: keyof PrivateMemory): number =>
    median(answers.map(({ memory: { before, withAll } }) => withAll[of] - before[of])) / MiB;
  const further = answers.map(({ readyMs, memory: { withOne, withAll } }) => {
    const added = withAll.anonymousBytes - withOne.anonymousBytes;
    return added / Math.max(1, readyMs.length - 1);
  });
  return {
    holding,
    readyMs: median(answers.flatMap(({ readyMs }) => readyMs.slice(1))),
    switchMs: median(switches),
    slowestSwitchMs: Math.max(...switches),
    tokenMs: median(answers.flatMap(({ stepMs }) => stepMs.slice(1))),
    anonymousMib: above('anonymousBytes'),
    privateMib: above('privateBytes'),
    residentMib: above('residentBytes'),
    anonymousMibEachFurther: median(further) / MiB,
    bytesToShip: holding === 'separate' ? bytes.separate : bytes.genome,
  };
}

function switchTimes({ readyMs, firstMs, againMs }: SwitchAnswer): number[] {
  return readyMs.map((ms, index) => ms + (firstMs[index] as number) - (againMs[index] as number)).slice(1);
}

/** How many times as long a switch takes in one process as in the other of the same round. */
function ratios(
  slow: readonly SwitchAnswer[],
  fast: readonly SwitchAnswer[],
): { readonly min: number; readonly median: number } {
  const all = slow.map(
    (answer, round) => median(switchTimes(answer)) / median(switchTimes(fast[round] as SwitchAnswer)),
  );
  return { min: Math.min(...all), median: median(all) };
}

/** Between the candidates of this holding and the same ones as separate models. */
function largestDifference(rounds: SwitchRounds, holding: 'mapped' | 'prepacked'): number {
  const [ours, theirs] = [rounds[holding][0]?.logits ?? [], rounds.separate[0]?.logits ?? []];
  const differences = ours.flatMap((logits, candidate) =>
    logits.map((logit, index) => Math.abs(logit - (theirs[candidate]?.[index] ?? Number.NaN))),
  );
  return Math.max(...differences);
}

/** How many different logits there are: as many as candidates, when each runs with what is its own. */
function distinct([answer]: readonly SwitchAnswer[]): number {
  return new Set(answer?.logits.map((logits) => logits.join())).size;
}
