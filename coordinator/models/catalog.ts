import type { Clock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { type ModelShape, readModelShape } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import {
  type Adapter,
  type AdapterExport,
  type AdapterExported,
  type AdapterImport,
  type Base,
  type BaseImport,
  type BaseQuantise,
  baseDigestFor,
  type Dataset,
  type DatasetImport,
} from '@fleetlora/shared/protocol';
import type { SearchSpaceFile } from '@fleetlora/shared/space';
import type { TextRow } from '@fleetlora/shared/text';
import {
  type AdapterFacts,
  bufferSource,
  readAdapterFacts,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { checkSpace, defaultSpace } from './adapter-space.js';
import { checkBaseFiles, requireNames } from './base-files.js';
import { createBaseRecords } from './base-records.js';
import { checkDatasetImport } from './check-dataset-import.js';
import {
  type BaseCompression,
  type CompressionParts,
  calibrationRows,
  createBaseCompression,
} from './compress-bases.js';
import type { CatalogRepository, CheckScorer, NewId } from './ports.js';
import { readRowsFile, streamRowsFile } from './read-rows.js';
import { createModelWorkshop, type WorkshopHost } from './run-model-work.js';
import { splitFor } from './split-for.js';
import { withTensorFile } from './stored-files.js';

/** Bases, super-adapters and data sets. `find…` take an id or a name and throw NOT_FOUND. */
export interface Catalog extends BaseCompression {
  /** Lays uploaded Hugging Face files out as a base. @throws the errors of layBase, ALREADY_EXISTS */
  importBase(request: BaseImport): Promise<Base>;
  /**
   * Makes the base's weight file in another precision; one that is there already is left as it is.
   * @throws NOT_FOUND, UNSUPPORTED_ARCHITECTURE (a side that is not a multiple of 32)
   */
  quantiseBase(idOrName: string, request: BaseQuantise): Promise<Base>;
  listBases(): Promise<Base[]>;
  findBase(idOrName: string): Promise<Base>;
  /** Imports a PEFT LoRA as super-adapter. @throws ADAPTER_OTHER_BASE, ADAPTER_CONFIG, SPACE_INVALID */
  importAdapter(request: AdapterImport): Promise<Adapter>;
  /** Records a super-adapter file made by training, with its PEFT export. */
  registerAdapter(
    name: string,
    baseId: string,
    adapterFile: Uint8Array,
    space: SearchSpaceFile,
  ): Promise<Adapter>;
  listAdapters(): Promise<Adapter[]>;
  /**
   * Stores the files of a candidate, or of the whole super-adapter, for other tools.
   * @param request.candidate genome; absent: the whole super-adapter at its largest rank
   * @throws NOT_FOUND (also of a base's file in the precision of the candidate), GENOME_MALFORMED,
   *   GENOME_OUTSIDE_SPACE, and the errors of openExport and planExport
   */
  exportAdapter(idOrName: string, request: AdapterExport): Promise<AdapterExported>;
  findAdapter(idOrName: string): Promise<Adapter>;
  /**
   * Makes splits of uploaded CSV or JSONL files and records them, after reading every line and
   * trying the scorer on the expected texts.
   * @throws DATA_LINE, DATA_COLUMN, DATA_EMPTY, SCORER_INVALID, BAD_REQUEST, ALREADY_EXISTS
   */
  importDataset(request: DatasetImport): Promise<Dataset>;
  listDatasets(): Promise<Dataset[]>;
  findDataset(idOrName: string): Promise<Dataset>;
  /** The pure function, for domains that know the catalog by its type only. */
  readonly splitFor: typeof splitFor;
  readRows(dataset: Pick<Dataset, 'digest'>): Promise<TextRow[]>;
  /** Ends running imports; nothing half-made is recorded. */
  close(): Promise<void>;
}

/**
 * @param options.repository records; a record is inserted only after its files are stored, so a
 *   crash leaves at worst a file nobody names
 */
export function createCatalog(
  options: WorkshopHost & {
    readonly store: FileContentStore;
    /** Where files lie while they are made; emptied at every start. */
    readonly incomingFolder: string;
    readonly repository: CatalogRepository;
    readonly checkScorer: CheckScorer;
    readonly clock: Clock;
    readonly newId: NewId;
  },
): Catalog {
  const { store, incomingFolder, repository, checkScorer, clock, newId } = options;
  const workshop = createModelWorkshop(store.folder, options);

  const bases = createBaseRecords(repository, store);
  const findBase = bases.find;
  const requireStored = async (digest: string, what: string): Promise<void> => {
    if (!(await store.has(digest)))
      throw new CodedError('NOT_FOUND', `${what} with digest ${digest} was not uploaded`);
  };
  const requireFiles = async (
    files: Readonly<Record<string, string>>,
    wanted: readonly string[],
  ): Promise<void> => {
    requireNames(files, wanted);
    for (const [name, digest] of Object.entries(files)) await requireStored(digest, name);
  };
  const inspectAdapter = (file: TensorFile, base: Base): { facts: AdapterFacts; shape: ModelShape } => {
    if (file.metadata.baseDigest !== base.digest)
      throw new CodedError(
        'ADAPTER_OTHER_BASE',
        `adapter file is for base ${file.metadata.baseDigest ?? 'unknown'}, "${base.name}" is ${base.digest}`,
      );
    const facts = readAdapterFacts(file);
    if (facts.masked !== undefined && base.pruning === undefined)
      throw new CodedError(
        'ADAPTER_OTHER_BASE',
        `the adapter is masked by the zeros of its base, "${base.name}" was not pruned`,
      );
    return { facts, shape: readModelShape(file) };
  };
  const recordAdapter = async (
    record: Pick<Adapter, 'name' | 'baseId' | 'digest' | 'bytes' | 'space' | 'files'>,
    facts: AdapterFacts,
  ): Promise<Adapter> => {
    const adapter: Adapter = {
      id: newId('adp'),
      ...record,
      rankMax: facts.rankMax,
      alpha: facts.alpha,
      ...(facts.masked && { masked: facts.masked }),
      createdAtMs: clock.nowMs(),
    };
    await repository.insertAdapter(adapter);
    return adapter;
  };

  const compression: CompressionParts = {
    workshop,
    incomingFolder,
    findBase,
    findAdapter: async (idOrName) => required(await repository.findAdapter(idOrName), 'adapter', idOrName),
    findDataset: async (idOrName) => required(await repository.findDataset(idOrName), 'data set', idOrName),
    refuseTakenBase: async (name) => refuseTaken(await repository.findBase(name), 'base', name),
    async insertBase(made) {
      const base: Base = { id: newId('base'), ...made, createdAtMs: clock.nowMs() };
      await repository.insertBase(base);
      return base;
    },
  };

  return {
    async importBase({ name, files: uploads, chatTemplate, importance, calibration }) {
      refuseTaken(await repository.findBase(name), 'base', name);
      checkBaseFiles(uploads);
      await requireFiles(uploads, []);
      const sorting = importance && {
        importance,
        ...(calibration && { calibration: await calibrationRows(compression, calibration) }),
        incomingFolder,
      };
      const laid = await workshop.run({ kind: 'layBase', files: uploads, chatTemplate, sorting });
      const { digest, bytes } = laid;
      const files = { fp32: { digest, bytes } };
      const base: Base = { id: newId('base'), name, ...laid, files, createdAtMs: clock.nowMs() };
      await repository.insertBase(base);
      return base;
    },
    async quantiseBase(idOrName, { precision }) {
      const base = await findBase(idOrName);
      if (base.files[precision]) return base;
      const adapters = (await repository.listAdapters()).filter(({ baseId }) => baseId === base.id);
      const file = await workshop.run({
        kind: 'quantise',
        baseDigest: base.digest,
        precision,
        widthPercents: adapters.flatMap(({ space }) => space.widthPercents),
      });
      return bases.addFile(base.id, precision, file);
    },
    ...createBaseCompression(compression),
    listBases: () => repository.listBases(),
    findBase,

    async importAdapter({ name, base: baseName, files, space, masked }) {
      refuseTaken(await repository.findAdapter(name), 'adapter', name);
      await requireFiles(files, ['adapter_config.json', 'adapter_model.safetensors']);
      const base = await findBase(baseName);
      const { digest, bytes } = await workshop.run({
        kind: 'readPeft',
        baseDigest: base.digest,
        configDigest: files['adapter_config.json'] as string,
        weightsDigest: files['adapter_model.safetensors'] as string,
        orderDigest: files['channel_order.json'] ?? null,
        masked,
      });
      const { facts, shape } = await withTensorFile(store, digest, async (file) =>
        inspectAdapter(file, base),
      );
      const checked = checkSpace(space ?? defaultSpace(facts, shape), facts, shape);
      return recordAdapter({ name, baseId: base.id, digest, bytes, space: checked, files }, facts);
    },
    async registerAdapter(name, baseId, adapterFile, space) {
      refuseTaken(await repository.findAdapter(name), 'adapter', name);
      const base = await findBase(baseId);
      const { facts, shape } = inspectAdapter(await readTensorFile(bufferSource(adapterFile)), base);
      const checked = checkSpace(space, facts, shape);
      const { digest, files } = await workshop.run({
        kind: 'writePeft',
        baseDigest: base.digest,
        adapterFile,
      });
      const record = { name, baseId: base.id, digest, bytes: adapterFile.length, space: checked, files };
      return recordAdapter(record, facts);
    },
    listAdapters: () => repository.listAdapters(),
    async exportAdapter(idOrName, request) {
      const adapter = required(await repository.findAdapter(idOrName), 'adapter', idOrName);
      const base = await findBase(adapter.baseId);
      return workshop.run({
        kind: 'export',
        baseDigest: request.candidate === undefined ? base.digest : baseDigestFor(base, request.candidate),
        adapterDigest: adapter.digest,
        tokenizerDigest: base.tokenizerDigest,
        genome: request.candidate ?? null,
        as: request.as,
        dtype: request.dtype ?? null,
        name: `${base.name} ${adapter.name}`,
      });
    },
    findAdapter: compression.findAdapter,

    async importDataset(request) {
      const { name, task = { kind: 'completion' }, ...work } = request;
      refuseTaken(await repository.findDataset(name), 'data set', name);
      checkDatasetImport(request);
      for (const [split, digest] of Object.entries(work.files))
        await requireStored(digest, `data file "${split}"`);
      // Without rows, so that a scorer that cannot be used is named before minutes of reading.
      await checkScorer(task, []);
      const { splits, report } = await workshop.run({ kind: 'importDataset', ...work, incomingFolder });
      const findings: string[] = [];
      for (const [split, { digest }] of Object.entries(splits)) {
        const where = split === 'all' ? undefined : `split "${split}"`;
        findings.push(...(await checkScorer(task, streamRowsFile(store.pathOf(digest)), where)));
      }
      const [first] = Object.values(splits);
      const dataset: Dataset = {
        id: newId('data'),
        name,
        digest: first?.digest ?? '',
        rows: Object.values(splits).reduce((sum, { rows }) => sum + rows, 0),
        splits,
        task,
        report: { ...report, warnings: [...report.warnings, ...findings] },
        createdAtMs: clock.nowMs(),
      };
      await repository.insertDataset(dataset);
      return dataset;
    },
    listDatasets: () => repository.listDatasets(),
    findDataset: compression.findDataset,
    splitFor,
    readRows: ({ digest }) => readRowsFile(store.pathOf(digest)),

    close: () => workshop.close(),
  };
}

function required<T>(found: T | null, kind: string, idOrName: string): T {
  if (found === null) throw new CodedError('NOT_FOUND', `no ${kind} has the id or name "${idOrName}"`);
  return found;
}

/** Before the work, so that seconds are not spent on a name that is taken; the insert decides. */
function refuseTaken(found: unknown, kind: string, name: string): void {
  if (found !== null) throw new CodedError('ALREADY_EXISTS', `a ${kind} named "${name}" exists already`);
}
