import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { checkScorer } from '@fleetlora/coordinator/evaluation';
import { createHostLease, type HostLease } from '@fleetlora/coordinator/host';
import { type Catalog, createCatalog } from '@fleetlora/coordinator/models';
import { openStore, type Store } from '@fleetlora/coordinator/store';
import type { Clock } from '@fleetlora/shared/clock';
import { createFileContentStore, type FileContentStore } from '@fleetlora/shared/node';
import type { Test } from 'tap';
import { tinyConfig, tinyModelFile, tinyPeftConfig, tinyPeftFile, tinyTokenizer } from './tiny-llama.js';

export interface OpenModels {
  readonly catalog: Catalog;
  readonly content: FileContentStore;
  /** Where imports make files; empty when none runs. */
  readonly incomingFolder: string;
  readonly store: Store;
  /** Of a machine with the boot id "host". */
  readonly host: HostLease;
  readonly clock: Clock;
  readonly newId: (prefix: string) => string;
  /** Stores JSON values and bytes as uploads and returns their digests by name. */
  upload(files: Readonly<Record<string, unknown>>): Promise<Record<string, string>>;
}

/** A catalog over a real database and content folder, closed and removed with the test. */
export async function openModels(t: Test): Promise<OpenModels> {
  const folder = t.testdir({});
  const content = await createFileContentStore(join(folder, 'content'));
  const store = await openStore(join(folder, 'fleetlora.db'));
  const clock: Clock = { nowMs: () => 1_700_000_000_000, monotonicMs: () => 0 };
  let ids = 0;
  const newId = (prefix: string) => `${prefix}_${String(++ids).padStart(10, '0')}`;
  const incomingFolder = join(folder, 'incoming');
  await mkdir(incomingFolder);
  const host = createHostLease({ bootId: 'host' });
  const catalog = createCatalog({
    store: content,
    incomingFolder,
    repository: store.catalog,
    checkScorer: (task, rows, where) => checkScorer(task, { contentFolder: content.folder, rows, where }),
    host,
    clock,
    newId,
  });
  t.teardown(async () => {
    await catalog.close();
    await store.close();
  });
  return {
    catalog,
    content,
    incomingFolder,
    store,
    host,
    clock,
    newId,
    async upload(files) {
      const digests: Record<string, string> = {};
      for (const [name, value] of Object.entries(files))
        digests[name] = await content.put(
          value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value)),
        );
      return digests;
    },
  };
}

/** The uploads of the tiny base. */
export const tinyBaseFiles = (): Record<string, unknown> => ({
  'config.json': tinyConfig,
  'model.safetensors': tinyModelFile('F16'),
  'tokenizer.json': tinyTokenizer(),
});

/** The uploads of the tiny super-adapter. */
export const tinyAdapterFiles = (): Record<string, unknown> => ({
  'adapter_config.json': tinyPeftConfig(),
  'adapter_model.safetensors': tinyPeftFile(),
});
