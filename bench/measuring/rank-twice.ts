import { CodedError } from '@fleetlora/shared/errors';
import type { Measurement } from '@fleetlora/shared/protocol';
import { anchorGenome, costOf, encodeGenome, type Genome, sampleGenome } from '@fleetlora/shared/space';
import { kendallTau, mean, median, sessionRatio, splitSessions } from '@fleetlora/shared/statistics';
import { type MeasureGround, timesAlone } from './measure-ground.js';
import { type Quantity, sessionsOf } from './quantities.js';

/** The same candidates, measured in two independent runs. */
export interface TwoRuns {
  readonly genomes: readonly string[];
  readonly runs: readonly [readonly Measurement[], readonly Measurement[]];
}

/** Random candidates that those to be ranked are chosen from, of each form. */
const MIXTURES = 400;

/**
 * Measures the candidates twice, each time all of them in an order of its own, as the jobs of a search
 * do: with the smallest one for a sentinel. Half of them are merged.
 */
export async function rankTwice(
  ground: MeasureGround,
  candidates: number,
  say: (text: string) => void,
): Promise<TwoRuns> {
  const genomes = spreadGenomes(ground, candidates);
  const sentinel = anchorGenome(ground.space, 'min', 'unmerged');
  const run = async (number: number): Promise<Measurement[]> => {
    const found: Measurement[] = [];
    for (const [done, index] of ground.random.shuffle([...genomes.keys()]).entries()) {
      const genome = genomes[index] as Genome;
      const { measurement } = await ground.measure([genome], { entries: timesAlone, sentinel });
      found[index] = measurement;
      const share = besideFigure('decode')(measurement).toFixed(3);
      say(
        `run ${number}, ${done + 1} of ${candidates}: ${measurement.decode.p50Ms.toFixed(3)} ms, ${share} of the sentinel's`,
      );
    }
    return found;
  };
  return { genomes: genomes.map(encodeGenome), runs: [await run(1), await run(2)] };
}

/**
 * From the cheapest to the dearest of each form, as the front of a search goes: evenly spread over the
 * multiply-adds of a token, from many random mixtures of the ends of the space with what lies between.
 */
function spreadGenomes({ space, random, prepared }: MeasureGround, count: number): Genome[] {
  const { hidden, heads, kvHeads, headDim, vocab } = prepared.shape;
  const sizes = { hidden, vocab, qWidth: heads * headDim, kvWidth: kvHeads * headDim };
  const halves = space.file.forms.map((form, index, forms) => {
    const wanted = Math.floor(count / forms.length) + (index < count % forms.length ? 1 : 0);
    const ends = (['min', 'max'] as const).map((anchor) => anchorGenome(space, anchor, form));
    const mixtures = Array.from({ length: MIXTURES }, (): Genome => {
      const end = ends[random.below(2)] as Genome;
      const share = random.next();
      const between = sampleGenome(space, random).layers;
      return {
        form,
        layers: end.layers.map((layer, l) => (random.next() < share ? layer : (between[l] ?? layer))),
      };
    });
    const macs = (genome: Genome): number => costOf(genome, sizes).macs;
    const [cheapest, dearest] = ends.map(macs) as [number, number];
    const left = new Map([...ends, ...mixtures].map((genome) => [encodeGenome(genome), genome]));
    return Array.from({ length: wanted }, (_, step) => {
      const target = cheapest + ((dearest - cheapest) * step) / Math.max(1, wanted - 1);
      const [text, nearest] = [...left].reduce((best, next) =>
        Math.abs(macs(next[1]) - target) < Math.abs(macs(best[1]) - target) ? next : best,
      );
      left.delete(text);
      return nearest;
    });
  });
  return halves.flat();
}

/** How far the runs agree on the order of the candidates: 1 when they do in all, 0 by chance. */
export function agreement({ runs: [a, b] }: TwoRuns, figure: (measurement: Measurement) => number): number {
  return kendallTau(a.map(figure), b.map(figure));
}

/** What a search ranks by. @throws BUG when a job told none */
export const besideFigure =
  (quantity: Quantity) =>
  ({ beside }: Measurement): number => {
    if (!beside) throw new CodedError('BUG', 'a job beside the sentinel told no ratio');
    return beside[quantity].ratio;
  };

/**
 * The ratio by other means than the agent's, of the first sessions beside the sentinel.
 * @param by `trimmed`: as the agent does; `medians`: the mean over sessions of the ratios of medians
 */
export const besideFigureBy =
  (quantity: Quantity, by: 'trimmed' | 'medians', share: number) =>
  ({ beside }: Measurement): number => {
    if (!beside) throw new CodedError('BUG', 'a job beside the sentinel told no ratio');
    const { samplesMs, sentinelSamplesMs, sessionSizes } = beside[quantity];
    const count = Math.max(1, Math.round(share * sessionSizes.length));
    const [own, other] = [samplesMs, sentinelSamplesMs].map((samples) =>
      splitSessions(samples, sessionSizes).slice(0, count),
    ) as [number[][], number[][]];
    if (by === 'trimmed') return sessionRatio(own, other).ratio;
    return mean(own.map((session, index) => Math.log(median(session) / median(other[index] ?? []))));
  };

/** The absolute figure. */
export const wholeFigure =
  (quantity: Quantity) =>
  (measurement: Measurement): number =>
    measurement[quantity].p50Ms;

/** What the first session alone would have told. */
export const firstSessionFigure =
  (quantity: Quantity) =>
  (measurement: Measurement): number =>
    median(sessionsOf(measurement, quantity)[0] ?? []);
