import { isOpen, type LiveTrial } from './live-trial.js';

/**
 * The trials of one job: `head`, and with it others of its shape, up to `size` in all. Proposes
 * new ones while there are fewer open trials than a batch has: of those the ones of another shape
 * are for a next job. What is gathered follows from the trials alone, however often a crash came
 * between: an interrupted batch is gathered again.
 * @param propose the next trial, null when there is to be none; it is among `trials` then
 */
export async function gatherBatch(
  head: LiveTrial,
  trials: readonly LiveTrial[],
  size: number,
  options: {
    readonly mayTry: (live: LiveTrial) => boolean;
    readonly propose: () => Promise<LiveTrial | null>;
  },
): Promise<LiveTrial[]> {
  const { shape } = head;
  if (size <= 1 || shape === null || head.alone) return [head];
  const open = trials.filter(isOpen);
  const fits = (live: LiveTrial): boolean => live.shape === shape && !live.alone && options.mayTry(live);
  const batch = [head, ...open.filter((live) => live !== head && fits(live))].slice(0, size);
  for (let count = open.length; batch.length < size && count < size; count++) {
    const live = await options.propose();
    if (!live) break;
    if (fits(live)) batch.push(live);
  }
  return batch;
}
