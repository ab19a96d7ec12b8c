import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import type { Desired, InstallState, ReleaseManifest, RolloutReport } from '@fleetlora/shared/protocol';
import type { InstalledRelease, InstallStore } from './install-record.js';
import { MAX_FINALS } from './install-record.js';
import { type ProvableModel, proveHealth } from './prove-health.js';

/** Brings the wanted release onto this device, or keeps the one that runs. */
export interface Installer {
  /** The coordinator wants this release; the same wish may be told any number of times. */
  want(desired: Desired): void;
  /** Goes on with what an earlier process had begun. */
  resume(): void;
  stop(): Promise<void>;
}

export interface InstallerDoors<L extends LoadedRelease> {
  readonly store: InstallStore;
  /** Fetches a blob when it is not here and returns the bytes that took. */
  readonly fetch: (digest: string, signal: AbortSignal) => Promise<number>;
  /** Reads and verifies the signed manifest of that digest. */
  readonly readManifest: (digest: string) => Promise<ReleaseManifest>;
  /** Expands the fetched package and returns the expanded file's digest. */
  readonly expand: (manifest: ReleaseManifest, signal: AbortSignal) => Promise<string>;
  /** Loads a release in a process of its own, beside the one that serves. */
  readonly load: (release: InstalledRelease) => Promise<L>;
  /** Serves the loaded release from now on. */
  readonly serve: (release: InstalledRelease, loaded: L) => void;
  /** Lets go of files that only `old` needed. */
  readonly discard: (digests: readonly string[]) => Promise<void>;
  readonly report: (report: RolloutReport) => Promise<void>;
  /** Keeps measurements out while it runs. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onError: (error: unknown) => void;
}

export interface LoadedRelease extends ProvableModel {
  close(): Promise<void>;
}

/** Begun and never ended this often, an installation is what takes the agent down. */
const MAX_BEGUN = 3;
const MAX_REASON = 4000;

/**
 * Invariants:
 * - One installation at a time; of several wishes that wait, the last one counts.
 * - The record names a release as installed only after its golden prompts were answered, and it
 *   is served before that is reported.
 * - Until then the running release stays loaded and its files stay in place.
 * - A rollout that ended here is answered with its old end and not tried again.
 */
export function createInstaller<L extends LoadedRelease>(doors: InstallerDoors<L>): Installer {
  const { store } = doors;
  const stopping = new AbortController();
  let current: Desired | null = null;
  let next: Desired | null = null;
  let running: Promise<void> = Promise.resolve();

  function want(desired: Desired): void {
    if (stopping.signal.aborted) return;
    const final = store.record.finals.find(({ rolloutId }) => rolloutId === desired.rolloutId);
    if (final) {
      doors.report(final).catch(doors.onError);
      return;
    }
    if (current?.rolloutId === desired.rolloutId || next?.rolloutId === desired.rolloutId) return;
    const replaced = next;
    next = desired;
    if (replaced) {
      const reason = `rollout ${desired.rolloutId} was wanted before this one began`;
      void end({ ...idsOf(replaced), state: 'rejected', reason }).catch(doors.onError);
    }
    if (!current) running = work();
  }

  async function work(): Promise<void> {
    for (let desired = next; desired && !stopping.signal.aborted; desired = next) {
      current = desired;
      next = null;
      try {
        await doors.exclusively(() => attempt(desired));
      } catch (error) {
        doors.onError(error);
      }
      current = null;
    }
  }

  async function attempt(desired: Desired): Promise<void> {
    if (stopping.signal.aborted) return;
    const begun = store.record.desired?.rolloutId === desired.rolloutId ? store.record.begun : 0;
    if (begun >= MAX_BEGUN) {
      const reason = `the installation was begun ${begun} times and never ended`;
      return end({ ...idsOf(desired), state: 'failed', reason });
    }
    await store.change({ desired, begun: begun + 1 });
    const report = await install(desired);
    // A stop is no end of the rollout, and no sign of trouble: the next process goes on with it.
    if (report === null) await store.change({ begun });
    else await end(report);
  }

  /** The last report of an installation; null when the agent stopped meanwhile. */
  async function install(desired: Desired): Promise<RolloutReport | null> {
    const ids = idsOf(desired);
    let step: InstallState = 'fetching';
    const enter = async (state: InstallState): Promise<void> => {
      step = state;
      await doors.report({ ...ids, state });
    };
    let facts: Pick<RolloutReport, 'downloadedBytes' | 'healthy' | 'checked'> = {};
    try {
      await enter('fetching');
      const { manifest, downloadedBytes } = await fetchAll(desired);
      facts = { downloadedBytes };
      await enter('verifying');
      const release = describe(manifest, await doors.expand(manifest, stopping.signal));
      await enter('loading');
      const loaded = await doors.load(release);
      try {
        await enter('proving');
        const { healthy, checked, firstFault } = await proveHealth(loaded, manifest.golden);
        facts = { ...facts, healthy, checked };
        if (firstFault !== null)
          throw new CodedError(
            'RELEASE_UNHEALTHY',
            `${healthy} of ${checked} golden prompts are right: ${firstFault}`,
          );
        await switchTo(release, loaded, manifest);
      } catch (error) {
        await loaded.close();
        throw error;
      }
      return { ...ids, state: 'succeeded', ...facts };
    } catch (error) {
      if (stopping.signal.aborted) return null;
      const state = isCoded(error) && refusals.has(error.code) ? 'rejected' : 'failed';
      return { ...ids, state, reason: `${step}: ${messageOf(error)}`.slice(0, MAX_REASON), ...facts };
    }
  }

  /** The manifest first: nothing else is fetched on the word of a stranger. */
  async function fetchAll(desired: Desired): Promise<{ manifest: ReleaseManifest; downloadedBytes: number }> {
    const { signal } = stopping;
    let downloadedBytes = await doors.fetch(desired.manifestDigest, signal);
    const manifest = await doors.readManifest(desired.manifestDigest);
    if (manifest.releaseId !== desired.releaseId)
      throw new CodedError(
        'SIGNATURE_INVALID',
        `the manifest is of release ${manifest.releaseId}, wanted ${desired.releaseId}`,
      );
    const { highestNumber } = store.record;
    if (manifest.number < highestNumber)
      throw new CodedError(
        'STATE_CONFLICT',
        `release number ${manifest.number} is older than ${highestNumber}, which ran here; a device does not go back`,
      );
    for (const digest of [manifest.baseDigest, manifest.tokenizerDigest, manifest.packageDigest])
      downloadedBytes += await doors.fetch(digest, signal);
    return { manifest, downloadedBytes };
  }

  async function switchTo(release: InstalledRelease, loaded: L, manifest: ReleaseManifest): Promise<void> {
    const old = store.record.installed;
    await store.change({
      installed: release,
      highestNumber: Math.max(store.record.highestNumber, release.number),
      baseDigest: release.baseDigest,
    });
    doors.serve(release, loaded);
    const spare = [manifest.packageDigest, ...(old ? [old.expandedDigest] : [])];
    await doors.discard(spare.filter((digest) => digest !== release.expandedDigest)).catch(doors.onError);
  }

  async function end(report: RolloutReport): Promise<void> {
    // Remembered before it is told: a report may be repeated, an installation must not be.
    await store.change({
      finals: [...store.record.finals, report].slice(-MAX_FINALS),
      ...(store.record.desired?.rolloutId === report.rolloutId ? { desired: null, begun: 0 } : {}),
    });
    await doors.report(report);
  }

  return {
    want,
    resume() {
      if (store.record.desired) want(store.record.desired);
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** Ends of a device that will not, rather than could not. */
const refusals: ReadonlySet<string> = new Set(['SIGNATURE_INVALID', 'STATE_CONFLICT', 'MESSAGE_MALFORMED']);

const idsOf = ({ rolloutId, releaseId }: Desired): Pick<RolloutReport, 'rolloutId' | 'releaseId'> => ({
  rolloutId,
  releaseId,
});

function describe(manifest: ReleaseManifest, expandedDigest: string): InstalledRelease {
  return {
    releaseId: manifest.releaseId,
    number: manifest.number,
    name: manifest.name,
    genome: manifest.genome,
    baseDigest: manifest.baseDigest,
    tokenizerDigest: manifest.tokenizerDigest,
    expandedDigest,
    stopIds: manifest.stopIds,
  };
}
