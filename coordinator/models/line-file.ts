import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { orDiskFull } from '@fleetlora/shared/node';

/**
 * Bytes of one split. Training reads a split as one text, and the longest that V8 has is about
 * 537 million characters.
 */
export const maxSplitBytes = 500_000_000;

/** Written at once: few system calls, little memory. */
const BUFFER_CHARACTERS = 1024 * 1024;

/** A file that is made line by line. */
export interface LineFile {
  readonly path: string;
  /** Lines so far. */
  readonly lines: number;
  /** Resolves when there is room for the next line. @throws DISK_FULL, MESSAGE_TOO_LARGE */
  add(line: string): Promise<void> | undefined;
  /** Everything is written and the file closed. @throws as `add` */
  finish(): Promise<void>;
  /** Closes and removes it; harmless when it is gone. */
  discard(): Promise<void>;
}

/** Begins a file of its own name in `folder`. @param what names it in errors: "split train" */
export async function createLineFile(folder: string, what: string): Promise<LineFile> {
  const path = join(folder, `${randomUUID()}.part`);
  const write = { path, what };
  let handle: FileHandle | null = await orDiskFull(write, () => open(path, 'wx', 0o600));
  let lines = 0;
  let bytes = 0;
  let waiting = '';
  const flush = async (): Promise<void> => {
    const buffer = Buffer.from(waiting, 'utf8');
    waiting = '';
    bytes += buffer.length;
    if (bytes > maxSplitBytes) throw splitTooLarge(what);
    await orDiskFull(write, async () => void (await handle?.writeFile(buffer)));
  };
  const close = async (): Promise<void> => {
    const open = handle;
    handle = null;
    await open?.close();
  };
  return {
    path,
    get lines() {
      return lines;
    },
    add(line) {
      lines++;
      waiting += `${line}\n`;
      return waiting.length >= BUFFER_CHARACTERS ? flush() : undefined;
    },
    async finish() {
      await flush();
      await close();
    },
    async discard() {
      await close();
      await rm(path, { force: true });
    },
  };
}

export function splitTooLarge(what: string): CodedError {
  return new CodedError(
    'MESSAGE_TOO_LARGE',
    `${what} has more than the ${maxSplitBytes} bytes that are allowed`,
  );
}
