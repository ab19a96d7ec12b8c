import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore, Patience } from '@fleetlora/shared/node';
import type { SessionKeeper } from '../identity/index.js';
import { download } from './download.js';
import type { ContentKeeper } from './keep-content.js';

/** The coordinator's blobs, kept on this device by digest. */
export interface Artifacts {
  /**
   * Makes sure the blob is in the content store. While the disk is full it waits, and goes on from
   * the last byte that is there once there is space.
   * @returns bytes that had to be fetched; 0 when the blob was there
   * @throws DIGEST_MISMATCH, NOT_FOUND, COORDINATOR_UNREACHABLE; DISK_FULL without patience
   */
  ensure(digest: string, options: EnsureOptions): Promise<number>;
  /** Digests of the downloads under way. */
  underWay(): string[];
}

export interface EnsureOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number | null }) => void;
}

export interface ArtifactSettings {
  readonly url: string;
  readonly session: SessionKeeper;
  readonly store: FileContentStore;
  readonly partialFolder: string;
  /** Frees room for what comes, and knows what was used; without it nothing is ever deleted. */
  readonly keeper?: ContentKeeper;
  /** Waits for space; without it a full disk is an error. */
  readonly patience?: Patience;
  readonly retryDelaysMs?: readonly number[];
  readonly stallMs?: number;
}

const defaultRetryDelaysMs = [250, 500, 1000, 2000, 4000, 8000];
const defaultStallMs = 30_000;

export function createArtifacts(settings: ArtifactSettings): Artifacts {
  /** Two callers that want the same blob share one download: they would share its partial file. */
  const underWay = new Map<string, Promise<number>>();

  async function fetchInto(digest: string, options: EnsureOptions): Promise<number> {
    const partialFile = join(settings.partialFolder, digest);
    const fetched = await download({
      url: `${settings.url}/v1/artifacts/${digest}`,
      digest,
      partialFile,
      token: () => settings.session.token(),
      dropToken: (token) => settings.session.drop(token),
      retryDelaysMs: settings.retryDelaysMs ?? defaultRetryDelaysMs,
      stallMs: settings.stallMs ?? defaultStallMs,
      makeRoom: settings.keeper?.makeRoom,
      ...options,
    });
    const stored = await settings.store.putFile(partialFile);
    await rm(partialFile, { force: true });
    if (stored !== digest)
      throw new CodedError('DIGEST_MISMATCH', `${partialFile} changed to digest ${stored}, wanted ${digest}`);
    // The limit; a full disk was seen to before. This blob stays: it is under way until it is handed over.
    await settings.keeper?.makeRoom(0);
    return fetched;
  }

  return {
    async ensure(digest, options) {
      if (await (settings.keeper?.use ?? settings.store.has)(digest)) return 0;
      const shared = underWay.get(digest);
      if (shared) return shared;
      const fetchOnce = () => fetchInto(digest, options);
      const { patience } = settings;
      const fetched = patience ? patience.run(fetchOnce, options.signal) : fetchOnce();
      const mine = fetched.finally(() => underWay.delete(digest));
      underWay.set(digest, mine);
      return mine;
    },
    underWay: () => [...underWay.keys()],
  };
}
