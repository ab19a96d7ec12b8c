/** Content that nothing needs goes after so many days without use: a base is fetched in minutes. */
export const UNUSED_DAYS = 30;
const DAY_MS = 86_400_000;
/** What the clock of a file system may lag behind the clock of the process. */
const CLOCK_LAG_MS = 1000;

/** A whole file of the content folder, or a part of one that a download left. */
export interface KeptFile {
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
  readonly usedAtMs: number;
}

export interface EvictionFacts {
  readonly files: readonly KeptFile[];
  /** Digests of what is installed, wanted, served, measured or being fetched. */
  readonly needed: ReadonlySet<string>;
  /** When the work under way began: what was used since is part of it. Null when there is none. */
  readonly busySinceMs: number | null;
  /** Bytes about to be written; 0 when nothing is. */
  readonly comingBytes: number;
  /** Free on the disk; null where the system does not tell. */
  readonly freeBytes: number | null;
  /** Most bytes to keep, what comes included; null for as many as the disk takes. */
  readonly limitBytes: number | null;
  readonly nowMs: number;
}

/**
 * What goes, the longest unused first: everything over its time, and as much more as the limit and
 * the free space ask for. Never a file that is needed. Should the disk have no room even without
 * all the rest, that rest stays: it would be lost for nothing. What is needed may exceed the limit.
 */
export function planEviction(facts: EvictionFacts): KeptFile[] {
  const { files, needed, busySinceMs, comingBytes, freeBytes, limitBytes, nowMs } = facts;
  const spare = files
    .filter(({ digest }) => !needed.has(digest))
    .filter(({ usedAtMs }) => busySinceMs === null || usedAtMs < busySinceMs - CLOCK_LAG_MS)
    .sort((a, b) => a.usedAtMs - b.usedAtMs);
  const keptBytes = total(files) + comingBytes;
  const overLimit = limitBytes === null ? 0 : keptBytes - limitBytes;
  const missing = freeBytes === null ? 0 : comingBytes - freeBytes;
  const wanted = Math.max(0, overLimit, missing <= total(spare) ? missing : 0);
  const going: KeptFile[] = [];
  let freed = 0;
  for (const file of spare) {
    if (nowMs - file.usedAtMs < UNUSED_DAYS * DAY_MS && freed >= wanted) break;
    going.push(file);
    freed += file.bytes;
  }
  return going;
}

const total = (files: readonly KeptFile[]): number => files.reduce((sum, { bytes }) => sum + bytes, 0);
