import type { Clock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import {
  type Base,
  baseDigestFor,
  type Release,
  type ReleaseCreate,
  type ReleaseManifest,
  type Search,
  type Trial,
} from '@fleetlora/shared/protocol';
import type { Catalog } from './catalog.js';
import type { PackageFacts } from './model-work.js';
import type { NewId, ReleaseRepository, ReleaseSigner, TrialLookup } from './ports.js';
import { createModelWorkshop, type WorkshopHost } from './run-model-work.js';
import { withTensorFile } from './stored-files.js';

/** Golden prompts taken from the search's data set when the request brings none. */
const DEFAULT_GOLDEN = 4;
/** Rows looked at for them: some may be too long or answered without a clear lead. */
const GOLDEN_CANDIDATES = 32;
/** Characters a golden prompt of a manifest may have. */
const GOLDEN_CHARACTERS = 2000;

export interface Releases {
  /**
   * Packages a trial of a search, has the manifest signed and stores both.
   * @throws NOT_FOUND, STATE_CONFLICT (nothing chosen yet), ALREADY_EXISTS, BAD_REQUEST
   */
  create(request: ReleaseCreate): Promise<Release>;
  list(): Promise<Release[]>;
  /** @throws NOT_FOUND */
  find(idOrName: string): Promise<Release>;
  close(): Promise<void>;
}

/** Invariant: one release is made at a time, so the number it takes is still free at its insert. */
export function createReleases(
  options: WorkshopHost & {
    readonly catalog: Pick<Catalog, 'findAdapter' | 'findBase' | 'findDataset' | 'splitFor' | 'readRows'>;
    readonly store: FileContentStore;
    readonly repository: ReleaseRepository;
    readonly trials: TrialLookup;
    readonly signer: ReleaseSigner;
    readonly clock: Clock;
    readonly newId: NewId;
  },
): Releases {
  const { catalog, store, repository, trials, signer, clock, newId } = options;
  const workshop = createModelWorkshop(store.folder, options);
  let tail: Promise<unknown> = Promise.resolve();

  const goldenCandidates = async (request: ReleaseCreate, search: Search): Promise<string[]> => {
    if (request.goldenPrompts) return request.goldenPrompts;
    const dataset = await catalog.findDataset(search.spec.dataset);
    const rows = await catalog.readRows(catalog.splitFor(dataset, 'score'));
    const prompts = new Set(
      rows.map(({ prompt }) => prompt).filter((prompt) => prompt.length <= GOLDEN_CHARACTERS),
    );
    return [...prompts].slice(0, GOLDEN_CANDIDATES);
  };

  const create = async (request: ReleaseCreate): Promise<Release> => {
    if ((await repository.findRelease(request.name)) !== null)
      throw new CodedError('ALREADY_EXISTS', `a release named "${request.name}" exists already`);
    const { search, trial } = await trials.findTrial(request.search, request.trial);
    const adapter = await catalog.findAdapter(search.adapterId);
    const base = await catalog.findBase(adapter.baseId);
    const baseDigest = baseDigestFor(base, trial.genome);
    const stopIds = await withTensorFile(
      store,
      baseDigest,
      async ({ metadata }) => JSON.parse(metadata.stopIds ?? '[]') as number[],
    );
    const prompts = await goldenCandidates(request, search);
    const packed = await workshop.run({
      kind: 'package',
      baseDigest,
      adapterDigest: adapter.digest,
      tokenizerDigest: base.tokenizerDigest,
      genome: trial.genome,
      stopIds,
      prompts,
      goldenCount: request.goldenPrompts?.length ?? DEFAULT_GOLDEN,
    });
    const manifest: ReleaseManifest = {
      ...describe({ base, baseDigest, trial, packed, stopIds, name: request.name }),
      version: 1,
      releaseId: newId('rel'),
      number: (await repository.lastReleaseNumber()) + 1,
      createdAtMs: clock.nowMs(),
    };
    const signed = await signer.sign(JSON.stringify(manifest));
    const release: Release = {
      id: manifest.releaseId,
      number: manifest.number,
      name: manifest.name,
      searchId: search.id,
      trialId: trial.id,
      genome: trial.genome,
      packageDigest: packed.digest,
      packageBytes: packed.bytes,
      // What devices fetch by digest is the manifest with its signature.
      manifestDigest: await store.put(new TextEncoder().encode(JSON.stringify(signed))),
      signed,
      createdAtMs: manifest.createdAtMs,
    };
    await repository.insertRelease(release);
    return release;
  };

  return {
    create(request) {
      const made = tail.then(() => create(request));
      tail = made.catch(() => undefined);
      return made;
    },
    list: () => repository.listReleases(),
    async find(idOrName) {
      const found = await repository.findRelease(idOrName);
      if (found === null) throw new CodedError('NOT_FOUND', `no release has the id or name "${idOrName}"`);
      return found;
    },
    close: () => workshop.close(),
  };
}

/** The part of a manifest that follows from the candidate. */
function describe(facts: {
  readonly base: Base;
  /** Of the file that the candidate runs on. */
  readonly baseDigest: string;
  readonly trial: Trial;
  readonly packed: PackageFacts;
  readonly stopIds: number[];
  readonly name: string;
}): Omit<ReleaseManifest, 'version' | 'releaseId' | 'number' | 'createdAtMs'> {
  const { base, baseDigest, trial, packed, stopIds, name } = facts;
  const measured = trial.measurement;
  return {
    name,
    genome: trial.genome,
    baseDigest,
    tokenizerDigest: base.tokenizerDigest,
    packageDigest: packed.digest,
    packageBytes: packed.bytes,
    stopIds,
    golden: packed.golden,
    ...(measured && {
      expected: {
        decodeP50Ms: measured.decode.p50Ms,
        prefillP50Ms: measured.prefill.p50Ms,
        peakBytes: measured.peakBytes,
      },
    }),
  };
}
