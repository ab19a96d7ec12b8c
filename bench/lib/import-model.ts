/**
 * Imports a model into a catalog as a coordinator does and prints its peak memory as JSON: a program
 * of its own, so that nothing else counts. Its argument is a JSON `ImportRequest`, its answer an
 * `ImportAnswer`.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostLease } from '@fleetlora/coordinator/host';
import { createCatalog } from '@fleetlora/coordinator/models';
import { openStore } from '@fleetlora/coordinator/store';
import { createFileContentStore } from '@fleetlora/shared/node';

export interface ImportRequest {
  /** Its `content` folder holds the uploads. */
  readonly folder: string;
  /** Digests by name. */
  readonly files: Readonly<Record<string, string>>;
}

export interface ImportAnswer {
  /** Largest resident set of the process, the worker thread in it included. */
  readonly peakBytes: number;
  /** The same before the import began. */
  readonly idleBytes: number;
  readonly parameters: number;
  readonly fileBytes: number;
}

const { folder, files } = JSON.parse(process.argv[2] as string) as ImportRequest;
/** `maxRSS` is in kibibytes. @source Node.js, process.resourceUsage */
const peakOf = (): number => process.resourceUsage().maxRSS * 1024;

const incomingFolder = join(folder, 'incoming');
await mkdir(incomingFolder);
const store = await openStore(join(folder, 'fleetlora.db'));
const catalog = createCatalog({
  store: await createFileContentStore(join(folder, 'content')),
  incomingFolder,
  repository: store.catalog,
  checkScorer: async () => [],
  host: createHostLease({ bootId: 'bench' }),
  clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
  newId: (prefix) => `${prefix}_0000000001`,
});
const idleBytes = peakOf();
const { parameters, bytes: fileBytes } = await catalog.importBase({ name: 'synthetic', files });
const answer: ImportAnswer = { peakBytes: peakOf(), idleBytes, parameters, fileBytes };
console.log(JSON.stringify(answer));
await catalog.close();
await store.close();
