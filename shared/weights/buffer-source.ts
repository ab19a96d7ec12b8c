import { CodedError } from '../errors.js';
import type { ByteSource } from '../runtime.js';

/** A ByteSource over bytes in memory. What `read` returns is a copy, so it may be changed. */
export function bufferSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.length)
        throw new CodedError('BUG', `read of ${length} bytes at ${offset}, the buffer has ${bytes.length}`);
      return bytes.slice(offset, offset + length);
    },
  };
}
