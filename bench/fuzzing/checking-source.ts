import { CodedError } from '@fleetlora/shared/errors';
import type { ByteSource } from '@fleetlora/shared/runtime';

/** A source that remembers what was asked of it. */
export interface CheckingSource extends ByteSource {
  /** Reads that were not wholly inside the source. */
  readonly overReads: number;
  /** Bytes handed out. */
  readonly bytesRead: number;
}

/** Bytes in memory, at an address of their own that no wider view may start at. */
export function checkingSource(bytes: Uint8Array): CheckingSource {
  let overReads = 0;
  let bytesRead = 0;
  return {
    size: bytes.length,
    get overReads() {
      return overReads;
    },
    get bytesRead() {
      return bytesRead;
    },
    async read(offset, length) {
      const inside =
        Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
      if (!inside || offset + length > bytes.length) {
        overReads++;
        throw new CodedError('BUG', `read of ${length} bytes at ${offset}, the source has ${bytes.length}`);
      }
      bytesRead += length;
      // A ByteSource promises nothing about where its bytes lie in memory.
      const out = new Uint8Array(new ArrayBuffer(length + 1), 1, length);
      out.set(bytes.subarray(offset, offset + length));
      return out;
    },
  };
}
