import type { Machine } from '@fleetlora/agent/host';
import { shareOf } from '@fleetlora/agent/measure';
import { completePlan, type Measurement } from '@fleetlora/shared/protocol';
import { anchorGenome } from '@fleetlora/shared/space';
import { median, quantile, trimmedMeanInterval } from '@fleetlora/shared/statistics';
import { type BareLoop, exportForBareLoop, type LoopTiming } from '../lib/bare-loop.js';
import type { MeasureGround } from './measure-ground.js';
import { type Both, both, type Quantity, sessionsOf } from './quantities.js';

/** One job of the agent, and the runs of the stand-alone program around its sessions: one more than these. */
export interface LoopRepeat {
  readonly measurement: Measurement;
  readonly loop: readonly LoopTiming[];
  /** "Maximum resident set size" of the stand-alone program, in bytes. */
  readonly loopBytes: number;
}

/**
 * The agent and a stand-alone program time the same candidate in turns: before the agent's first
 * session and after each of them the program runs once, behind the same gates.
 */
export async function compareWithBareLoop(
  ground: MeasureGround,
  repeats: number,
  say: (text: string) => void,
): Promise<LoopRepeat[]> {
  const { prepared, adapter, plan, space } = ground;
  const genome = anchorGenome(space, 'max', 'unmerged');
  const model = { folder: prepared.folder, base: prepared.base, overlay: adapter, genome };
  const bareLoop = await exportForBareLoop(model, plan, shareOf(plan, completePlan(plan).sessions));
  const found: LoopRepeat[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const loop: LoopTiming[] = [];
    const machine = interleaving(ground, bareLoop, loop);
    const { measurement } = await ground.measure([genome], { machine });
    found.push({ measurement, loop, loopBytes: await bareLoop.weigh() });
    const { decode, prefill } = timeRatios(found[found.length - 1] as LoopRepeat);
    say(`overhead ${repeat + 1} of ${repeats}: decode ${decode.toFixed(3)}, prefill ${prefill.toFixed(3)}`);
  }
  return found;
}

/** The machine of an agent that has a run of the program before its first session and after each. */
function interleaving({ machine }: MeasureGround, bareLoop: BareLoop, loop: LoopTiming[]): Machine {
  return {
    ...machine,
    async waitUntilQuiet(signal) {
      const gate = await machine.waitUntilQuiet(signal);
      if (loop.length > 0) return gate;
      loop.push(await bareLoop.time());
      return machine.waitUntilQuiet(signal);
    },
    async watch(options) {
      const watch = await machine.watch(options);
      return {
        async end() {
          const report = await watch.end();
          await machine.waitUntilQuiet();
          loop.push(await bareLoop.time());
          return report;
        },
      };
    },
  };
}

export const loopSamples = ({ loop }: LoopRepeat, quantity: Quantity): number[] =>
  loop.flatMap((run) => [...run[quantity].samples]);

/** The agent's figures by the program's. */
export function timeRatios(repeat: LoopRepeat): Both<number> {
  return both(
    (quantity) => repeat.measurement[quantity].p50Ms / quantile(loopSamples(repeat, quantity), 0.5),
  );
}

/**
 * Each session of the agent by the runs of the program before and after it (their geometric mean): what
 * a machine whose speed changes within seconds leaves comparable.
 */
export function neighbourRatios({ measurement, loop }: LoopRepeat, quantity: Quantity): number[] {
  const loopMs = loop.map((run) => median(run[quantity].samples));
  return sessionsOf(measurement, quantity).map((samples, session) => {
    const [before = Number.NaN, after = Number.NaN] = loopMs.slice(session, session + 2);
    return median(samples) / Math.sqrt(before * after);
  });
}

/** The trimmed geometric mean of all of them. */
export function overheadRatio(repeats: readonly LoopRepeat[], quantity: Quantity): number {
  const ratios = repeats.flatMap((repeat) => neighbourRatios(repeat, quantity));
  return Math.exp(trimmedMeanInterval(ratios.map(Math.log)).mean);
}

export const memoryRatio = ({ measurement, loopBytes }: LoopRepeat): number =>
  measurement.peakBytes / loopBytes;

/** What the warm-up of a session is for: its first run in percent of the median of the counted ones. */
export function firstRunPercent(repeats: readonly LoopRepeat[], quantity: Quantity): number {
  return median(
    repeats.flatMap(({ loop }) =>
      loop.map((run) => (100 * (run[quantity].warmUp[0] as number)) / median(run[quantity].samples) - 100),
    ),
  );
}
