import { CodedError } from '../errors.js';
import type { ByteSource } from '../runtime.js';

/** Random reads from a Blob or File, which a page gets from downloads, file inputs and its storage. */
export function createBlobSource(blob: Blob): ByteSource {
  return {
    size: blob.size,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > blob.size)
        throw new CodedError(
          'SAFETENSORS_TRUNCATED',
          `wanted bytes ${offset} to ${offset + length}, the blob has ${blob.size}`,
        );
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
}
