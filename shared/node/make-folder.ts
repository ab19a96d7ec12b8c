import { mkdirSync } from 'node:fs';
import { orDiskFull } from './disk-full.js';

/**
 * Makes a folder for its owner alone, and those above it; one that is there is left as it is.
 *
 * Synchronous inside, a few microseconds: Node's asynchronous way to make folders on the way says
 * ENOENT where there is no space.
 * @throws DISK_FULL
 */
export function makeFolder(path: string): Promise<void> {
  return orDiskFull({ path }, async () => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  });
}
