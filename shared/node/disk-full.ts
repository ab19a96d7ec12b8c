import { statfs } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { CodedError, isCoded } from '../errors.js';

/** Something that is being written. */
export interface DiskWrite {
  readonly path: string;
  /** In a few words, where the path alone would not tell: "the upload". */
  readonly what?: string;
  /** Bytes it takes, where that is known. */
  readonly neededBytes?: number;
}

/**
 * True for every way in which a write says that the disk is full: the disk itself (ENOSPC), the
 * share of it that a user may fill (EDQUOT), and our own DISK_FULL.
 */
export function isDiskFull(error: unknown): boolean {
  if (isCoded(error)) return error.code === 'DISK_FULL';
  const { code, errno } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
  // libuv has no name for EDQUOT, so Node's `code` is "Unknown system error -122": the number tells.
  return code === 'ENOSPC' || isOverQuota(code, errno);
}

function isOverQuota(code: string | undefined, errno: number | undefined): boolean {
  return code === 'EDQUOT' || (errno !== undefined && errno === -constants.errno.EDQUOT);
}

/**
 * Does a piece of writing. @throws DISK_FULL when the disk has no room for it, naming what could
 * not be written, where, and the bytes that are free and needed
 */
export async function orDiskFull<T>(write: DiskWrite, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw await asDiskFull(error, write);
  }
}

/** The error of a failed write: DISK_FULL when that was the reason, else the error itself. */
export async function asDiskFull(error: unknown, write: DiskWrite): Promise<unknown> {
  if (isCoded(error) || !isDiskFull(error)) return error;
  const { code, errno } = error as NodeJS.ErrnoException;
  const reason = isOverQuota(code, errno)
    ? "its owner's quota is used up"
    : describeRoom(await readRoom(write.path), write);
  return new CodedError('DISK_FULL', `${describe(write)}: ${reason}`, { cause: error });
}

/**
 * Checks beforehand that the disk has room, so that a large write does not first take the last
 * byte from everyone else. Where the system does not tell, there is room.
 * @throws DISK_FULL
 */
export async function requireSpace(write: DiskWrite & { readonly neededBytes: number }): Promise<void> {
  const room = await readRoom(write.path);
  if (room === null || room.freeBytes >= write.neededBytes) return;
  throw new CodedError('DISK_FULL', `${describe(write)}: ${describeRoom(room, write)}`);
}

/** Bytes that a user without privileges may still write beside `path`; null where the system does not tell. */
export async function readFreeBytes(path: string): Promise<number | null> {
  return (await readRoom(path))?.freeBytes ?? null;
}

interface Room {
  /** For a user without privileges. */
  readonly freeBytes: number;
  /** Nothing can be made although bytes are free. */
  readonly noMoreFiles: boolean;
}

/** Null where the system does not tell: some file systems of a network claim to have no blocks at all. */
async function readRoom(path: string): Promise<Room | null> {
  try {
    const { bavail, bsize, blocks, files, ffree } = await statfs(dirname(path));
    if (blocks === 0) return null;
    // Some file systems count no files: they have as many as fit.
    return { freeBytes: bavail * bsize, noMoreFiles: files > 0 && ffree === 0 };
  } catch {
    return null;
  }
}

const describe = ({ what, path }: DiskWrite): string =>
  `cannot write ${what === undefined ? '' : `${what} to `}${path}`;

function describeRoom(room: Room | null, { neededBytes }: DiskWrite): string {
  if (room?.noMoreFiles) return 'the disk has no room for another file (no free inode)';
  const free = room === null ? '' : `, ${room.freeBytes} bytes are free`;
  return `the disk is full${free}${neededBytes === undefined ? '' : `, ${neededBytes} are needed`}`;
}
