import { open } from 'node:fs/promises';
import { CodedError } from '../errors.js';
import type { ByteSource } from '../runtime.js';

export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** Opens a file for random reads; its size is taken once. @throws NOT_FOUND naming the path */
export async function openFileSource(path: string): Promise<FileSource> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw new CodedError('NOT_FOUND', `cannot open ${path}`, { cause });
  });
  const { size } = await handle.stat();
  return {
    size,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > size)
        throw new CodedError(
          'SAFETENSORS_TRUNCATED',
          `${path}: wanted bytes ${offset} to ${offset + length}, the file has ${size}`,
        );
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0)
          throw new CodedError('SAFETENSORS_TRUNCATED', `${path} became shorter while it was read`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}
