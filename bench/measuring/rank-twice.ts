import { CodedError } from '@fleetlora/shared/errors';
import type { Measurement } from '@fleetlora/shared/protocol';
import { anchorGenome, encodeGenome, type Genome, sampleGenome } from '@fleetlora/shared/space';
import { kendallTau, median } from '@fleetlora/shared/statistics';
import { type MeasureGround, timesAlone } from './measure-ground.js';
import { type Quantity, sessionsOf } from './quantities.js';

/** The same candidates, measured in two independent runs. */
export interface TwoRuns {
  readonly genomes: readonly string[];
  readonly runs: readonly [readonly Measurement[], readonly Measurement[]];
}

/**
 * Measures the candidates twice, each time all of them in an order of its own, as the jobs of a search
 * do: with the smallest one for a sentinel. Half of them are merged; the ends and the middle of the
 * space are among them, the others are random.
 */
export async function rankTwice(
  ground: MeasureGround,
  candidates: number,
  say: (text: string) => void,
): Promise<TwoRuns> {
  const genomes = mixedGenomes(ground, candidates);
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

function mixedGenomes({ space, random }: MeasureGround, count: number): Genome[] {
  const anchors = (['max', 'middle', 'min'] as const).flatMap((anchor) => [
    anchorGenome(space, anchor, 'unmerged'),
    anchorGenome(space, anchor, 'merged'),
  ]);
  const chosen = new Map(anchors.slice(0, count).map((genome) => [encodeGenome(genome), genome]));
  while (chosen.size < count) {
    const genome: Genome = {
      ...sampleGenome(space, random),
      form: chosen.size % 2 === 0 ? 'unmerged' : 'merged',
    };
    chosen.set(encodeGenome(genome), genome);
  }
  return [...chosen.values()];
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
