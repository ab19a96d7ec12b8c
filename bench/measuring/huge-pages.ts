import { defaultMeasurePlan, type Measurement } from '@fleetlora/shared/protocol';
import { anchorGenome } from '@fleetlora/shared/space';
import { median, splitSessions, standardDeviation } from '@fleetlora/shared/statistics';
import { type MeasureGround, timesAlone } from './measure-ground.js';

/** One candidate in turns with itself, with and without the word for huge pages to the C library. */
export interface HugePages {
  readonly asked: readonly Measurement[];
  readonly not: readonly Measurement[];
}

const SESSIONS = 4;

/** Measures in turns, so that a machine which changes does it to both. */
export async function compareHugePages(ground: MeasureGround, repeats: number): Promise<HugePages> {
  const genome = anchorGenome(ground.space, 'middle', 'unmerged');
  const plan = { ...defaultMeasurePlan, decodeRepeats: SESSIONS * 65, sessions: SESSIONS };
  const measure = async (): Promise<Measurement> =>
    (await ground.measure([genome], { entries: timesAlone, sentinel: genome, plan })).measurement;
  const asked: Measurement[] = [];
  const not: Measurement[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    asked.push(await measure());
    not.push(await withoutHugePages(measure));
  }
  return { asked, not };
}

async function withoutHugePages<T>(work: () => Promise<T>): Promise<T> {
  const before = process.env.GLIBC_TUNABLES;
  process.env.GLIBC_TUNABLES = 'glibc.malloc.hugetlb=0';
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env.GLIBC_TUNABLES;
    else process.env.GLIBC_TUNABLES = before;
  }
}

/** Standard deviation over sessions of what a candidate took by what it took itself, in percent. */
export function besideItselfPercent(measurements: readonly Measurement[]): number {
  const ratios = measurements.flatMap(({ beside }) => {
    if (!beside) return [];
    const { samplesMs, sentinelSamplesMs, sessionSizes } = beside.decode;
    const others = splitSessions(sentinelSamplesMs, sessionSizes);
    return splitSessions(samplesMs, sessionSizes).map((samples, session) =>
      Math.log(median(samples) / median(others[session] ?? [])),
    );
  });
  return 100 * standardDeviation(ratios);
}

/** Median time of a step in these sessions, in ms. */
export const stepMs = (measurements: readonly Measurement[]): number =>
  median(measurements.flatMap(({ beside }) => (beside ? [beside.decode.p50Ms] : [])));
