import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { Artifacts } from './artifacts/index.js';
import type { InstalledRelease } from './install/index.js';
import { openModel } from './model/index.js';
import { type ModelSource, openModelProcess } from './serve/index.js';

/** What it takes to open a model of this device. */
export interface SourceDoors {
  readonly store: FileContentStore;
  readonly artifacts: Artifacts;
  readonly threads: number;
}

/** A model that needs longer to load than this is of no use for completions. */
const LOAD_TIMEOUT_MS = 600_000;

/** An installed release. */
export function releaseSource({ store, threads }: SourceDoors, release: InstalledRelease): ModelSource {
  const { name, baseDigest, expandedDigest, genome, stopIds } = release;
  return {
    name,
    open: () =>
      openModelProcess(
        {
          name,
          files: { folder: store.folder, base: baseDigest, overlay: expandedDigest, genome },
          tokenizerFile: store.pathOf(release.tokenizerDigest),
          stopIds,
          threads,
        },
        { loadTimeoutMs: LOAD_TIMEOUT_MS },
      ),
  };
}

/** The base alone, once it is on this device. Its tokenizer is fetched when it is first opened. */
export async function findBaseSource(
  doors: SourceDoors,
  baseDigest: string | null,
): Promise<ModelSource | null> {
  const { store, artifacts, threads } = doors;
  if (baseDigest === null || !(await store.has(baseDigest))) return null;
  const name = `base-${baseDigest.slice(0, 12)}`;
  return {
    name,
    async open() {
      const files = { folder: store.folder, base: baseDigest, overlay: null, genome: null };
      const opened = await openModel(files);
      await opened.close();
      const { tokenizerDigest, stopIds } = opened.baseMetadata;
      if (!tokenizerDigest)
        throw new CodedError('WEIGHT_MISSING', `base ${baseDigest} records no tokenizerDigest`);
      await artifacts.ensure(tokenizerDigest, { signal: AbortSignal.timeout(LOAD_TIMEOUT_MS) });
      return openModelProcess(
        {
          name,
          files,
          tokenizerFile: store.pathOf(tokenizerDigest),
          stopIds: parseStopIds(stopIds),
          threads,
        },
        { loadTimeoutMs: LOAD_TIMEOUT_MS },
      );
    },
  };
}

function parseStopIds(text = '[]'): number[] {
  const value = JSON.parse(text) as unknown;
  if (!Array.isArray(value) || !value.every((id) => Number.isSafeInteger(id)))
    throw new CodedError(
      'MODEL_CONFIG',
      `the base records stopIds ${text.slice(0, 80)}, wanted a list of token ids`,
    );
  return value as number[];
}
