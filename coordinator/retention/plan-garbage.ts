import type { Garbage, Retention, RunState } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';

/** Nothing younger goes, whatever the ages and quotas say: it may be in the middle of an import. */
export const YOUNG_MS = 3_600_000;
/** A file of an upload or download that nobody has written to for so long was given up. */
export const STALLED_MS = 86_400_000;
const DAY_MS = 86_400_000;

/** A file of the content folder. */
export interface StoredFile {
  readonly digest: string;
  readonly bytes: number;
  /** Written, or stored once more. */
  readonly usedAtMs: number;
}
/** A file that its writer has not finished; `path` is relative to the data folder. */
export interface PartialFile {
  readonly path: string;
  readonly bytes: number;
  readonly usedAtMs: number;
}
/** The folder of a training run. `training` is null when no record has its id. */
export interface CheckpointFolder {
  readonly id: string;
  readonly bytes: number;
  readonly usedAtMs: number;
  readonly training: { readonly name: string; readonly state: RunState } | null;
}
/** A search that is over. `release` names it, or is null. */
export interface SearchFacts {
  readonly id: string;
  readonly name: string;
  readonly endedAtMs: number;
  readonly release: string | null;
  readonly trials: number;
  readonly jobs: number;
  readonly rowBytes: number;
  readonly sampleBytes: number;
}

/** Everything that could go, and what must not. */
export interface GarbageFacts {
  readonly files: readonly StoredFile[];
  readonly partials: readonly PartialFile[];
  readonly checkpoints: readonly CheckpointFolder[];
  readonly searches: readonly SearchFacts[];
  /** Digests that a record names. */
  readonly needed: ReadonlySet<string>;
}

export interface GarbagePlan {
  /** By kind, in each the longest unused first. */
  readonly items: readonly Garbage[];
  readonly storedBytes: number;
  readonly neededBytes: number;
}

/**
 * What can go. Invariant: never a file that a record names, a search that a release names, a
 * checkpoint of a running training, or anything written to in the last hour.
 */
export function planGarbage(facts: GarbageFacts, retention: Retention, nowMs: number): GarbagePlan {
  const ageOf = ({ usedAtMs }: { readonly usedAtMs: number }): number => nowMs - usedAtMs;
  const total = (files: readonly { readonly bytes: number }[]): number =>
    files.reduce((sum, { bytes }) => sum + bytes, 0);
  const storedBytes = total(facts.files);
  const oldestFirst = <T extends { readonly usedAtMs: number }>(list: readonly T[]): T[] =>
    [...list].sort((a, b) => a.usedAtMs - b.usedAtMs);
  return {
    items: [
      ...oldestSearches(facts.searches).flatMap((search) => judgeSearch(search, retention, nowMs)),
      ...oldestFirst(facts.checkpoints).flatMap((folder) =>
        judgeCheckpoint(folder, retention, ageOf(folder)),
      ),
      ...judgeFiles(
        oldestFirst(facts.files.filter((file) => !facts.needed.has(file.digest) && ageOf(file) >= YOUNG_MS)),
        retention,
        storedBytes,
        ageOf,
      ),
      ...oldestFirst(facts.partials.filter((file) => ageOf(file) >= STALLED_MS)).map(
        (file): Garbage => ({
          kind: 'partial',
          id: file.path,
          what: 'half-written file',
          bytes: file.bytes,
          lastUsedAtMs: floorMs(file.usedAtMs),
          reason: `not written to for ${days(ageOf(file))}`,
        }),
      ),
    ],
    storedBytes,
    neededBytes: total(facts.files.filter(({ digest }) => facts.needed.has(digest))),
  };
}

const oldestSearches = (searches: readonly SearchFacts[]): SearchFacts[] =>
  [...searches].sort((a, b) => a.endedAtMs - b.endedAtMs);

/** The whole search, or else its samples, or nothing. */
function judgeSearch(search: SearchFacts, retention: Retention, nowMs: number): Garbage[] {
  const ageMs = nowMs - search.endedAtMs;
  const shared = { id: search.id, lastUsedAtMs: search.endedAtMs };
  if (search.release === null && isOver(ageMs, retention.searchesDays))
    return [
      {
        ...shared,
        kind: 'search',
        what: `search "${search.name}" with ${counted(search.trials, 'trial')} and ${counted(search.jobs, 'job')}`,
        bytes: search.rowBytes,
        reason: `ended ${days(ageMs)} ago, searches are kept ${days(retention.searchesDays * DAY_MS)}`,
      },
    ];
  if (search.sampleBytes > 0 && isOver(ageMs, retention.samplesDays))
    return [
      {
        ...shared,
        kind: 'samples',
        what: `raw samples of search "${search.name}", ${counted(search.trials, 'trial')}; percentiles stay`,
        bytes: search.sampleBytes,
        reason: `ended ${days(ageMs)} ago, samples are kept ${days(retention.samplesDays * DAY_MS)}`,
      },
    ];
  return [];
}

function judgeCheckpoint(folder: CheckpointFolder, retention: Retention, ageMs: number): Garbage[] {
  const { id, bytes, usedAtMs, training } = folder;
  const going = (what: string, reason: string): Garbage[] => [
    { kind: 'checkpoint', id, what, bytes, lastUsedAtMs: floorMs(usedAtMs), reason },
  ];
  if (ageMs < YOUNG_MS || training?.state === 'running') return [];
  if (training === null) return going('files of a training', 'no training has this id');
  const what = `checkpoint of training "${training.name}"`;
  if (training.state === 'finished') return going(what, 'finished: its super-adapter is stored');
  if (!isOver(ageMs, retention.checkpointsDays)) return [];
  const kept = days(retention.checkpointsDays * DAY_MS);
  return going(what, `${training.state}, last written ${days(ageMs)} ago, checkpoints are kept ${kept}`);
}

/** @param unnamed files that no record names, none of them young, the longest unused first */
function judgeFiles(
  unnamed: readonly StoredFile[],
  { artifactsDays, artifactsBytes }: Retention,
  storedBytes: number,
  ageOf: (file: StoredFile) => number,
): Garbage[] {
  let leftBytes = storedBytes;
  const going = (file: StoredFile, reason: string): Garbage => {
    leftBytes -= file.bytes;
    return {
      kind: 'artifact',
      id: file.digest,
      what: 'no record names it',
      bytes: file.bytes,
      lastUsedAtMs: floorMs(file.usedAtMs),
      reason,
    };
  };
  // Those over their age are the longest unused ones, so one pass has them before the quota counts.
  return unnamed.flatMap((file) => {
    const ageMs = ageOf(file);
    if (isOver(ageMs, artifactsDays))
      return [going(file, `unused for ${days(ageMs)}, kept ${days(artifactsDays * DAY_MS)}`)];
    if (artifactsBytes !== null && leftBytes > artifactsBytes)
      return [
        going(
          file,
          `stored files have ${formatBytes(leftBytes)}, the quota is ${formatBytes(artifactsBytes)}; unused for ${days(ageMs)}`,
        ),
      ];
    return [];
  });
}

function isOver(ageMs: number, keptDays: number | null): keptDays is number {
  return keptDays !== null && ageMs >= keptDays * DAY_MS;
}

/** File systems tell fractions of a millisecond, and times before 1970. */
const floorMs = (ms: number): number => Math.max(0, Math.floor(ms));

/** "1 day", "31 days"; below a day in hours. */
function days(ms: number): string {
  const unit = ms < DAY_MS ? ('hour' as const) : ('day' as const);
  return counted(Math.floor(ms / (unit === 'day' ? DAY_MS : 3_600_000)), unit);
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
