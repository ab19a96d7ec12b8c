import { readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import type { FileContentStore } from '@fleetlora/shared/node';
import { type KeptFile, planEviction } from './plan-eviction.js';

/** Decides which of the coordinator's blobs stay on this device. */
export interface ContentKeeper {
  /** Whether the blob is here; if so it counts as used now and is not deleted right after. */
  use(digest: string): Promise<boolean>;
  /** Deletes what nothing needs and nobody used for long, and more where `bytes` need the room. */
  makeRoom(bytes: number): Promise<void>;
  /** Runs work that uses content: what it uses or makes stays until its end. */
  during<T>(work: () => Promise<T>): Promise<T>;
}

export interface ContentKeeperOptions {
  readonly store: FileContentStore;
  /** Downloads under way, named by their digest. */
  readonly partialFolder: string;
  /** Most bytes to keep of what is not needed at present; null for as many as the disk takes. */
  readonly limitBytes: number | null;
  /** Digests that have to stay: installed, wanted, served, measured. */
  readonly needed: () => Promise<Iterable<string>>;
  readonly clock: Clock;
  readonly onDeleted: (file: KeptFile) => void;
}

const DIGEST = /^[0-9a-f]{64}$/;

/**
 * Invariant: `use` and deletions run one after another, so a blob that `use` found is not deleted
 * by a plan that was made before. From then on its time, `needed` or `during` keep it.
 */
export function createContentKeeper(options: ContentKeeperOptions): ContentKeeper {
  const { store, partialFolder, clock } = options;
  /** Beginnings of the work under way. */
  const busy = new Set<{ readonly sinceMs: number }>();
  let tail: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = tail.then(work);
    tail = result.catch(() => undefined);
    return result;
  };

  async function evict(comingBytes: number): Promise<void> {
    const files = [...(await filesIn(store.folder)), ...(await filesIn(partialFolder))];
    const going = planEviction({
      files,
      needed: new Set(await options.needed()),
      busySinceMs: busy.size === 0 ? null : Math.min(...[...busy].map(({ sinceMs }) => sinceMs)),
      comingBytes,
      freeBytes: await freeBytesOf(store.folder),
      limitBytes: options.limitBytes,
      nowMs: clock.nowMs(),
    });
    for (const file of going) {
      await rm(file.path, { force: true });
      options.onDeleted(file);
    }
  }

  return {
    use: (digest) => inTurn(() => store.renew(digest)),
    makeRoom: (bytes) => inTurn(() => evict(bytes)),
    async during(work) {
      const mine = { sinceMs: clock.nowMs() };
      busy.add(mine);
      try {
        return await work();
      } finally {
        busy.delete(mine);
      }
    },
  };
}

async function filesIn(folder: string): Promise<KeptFile[]> {
  const files: KeptFile[] = [];
  for (const name of await readdir(folder)) {
    if (!DIGEST.test(name)) continue;
    const path = join(folder, name);
    const entry = await stat(path).catch(() => null);
    if (entry?.isFile()) files.push({ path, digest: name, bytes: entry.size, usedAtMs: entry.mtimeMs });
  }
  return files;
}

/** For a user without privileges; null where the system does not tell. */
async function freeBytesOf(folder: string): Promise<number | null> {
  const found = await statfs(folder).catch(() => null);
  return found === null || found.blocks === 0 ? null : found.bavail * found.bsize;
}
