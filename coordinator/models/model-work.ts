import type {
  AdapterExported,
  BaseFile,
  Dataset,
  DatasetImport,
  DatasetReport,
  GoldenPrompt,
} from '@fleetlora/shared/protocol';
import type { Precision } from '@fleetlora/shared/space';
import type { ExportDtype, ExportKind, QuantPrecision } from '@fleetlora/shared/weights';
import type {
  MergeAdapterWork,
  MergedBaseFacts,
  ModelSorting,
  PruneBaseWork,
  PrunedBaseFacts,
} from './compression-work.js';

/**
 * Work that takes seconds and much memory: done in a worker thread, one piece at a time. Requests
 * and results are plain values; files go by digest through the content folder both sides know.
 */
export interface LayBaseWork {
  readonly kind: 'layBase';
  /** Digests by name, which `checkBaseFiles` let pass. */
  readonly files: Readonly<Record<string, string>>;
  /** False leaves out the template that a GGUF file carries. */
  readonly chatTemplate?: boolean | undefined;
  /** Absent: FFN channels by their summed magnitudes, heads as they come. */
  readonly sorting?: ModelSorting | undefined;
}
export interface LaidBaseFacts {
  readonly digest: string;
  /** Of the tokenizer.json that was uploaded, or made of what a GGUF file says. */
  readonly tokenizerDigest: string;
  readonly bytes: number;
  readonly parameters: number;
  readonly layers: number;
  readonly hidden: number;
  readonly ffnWidth: number;
  readonly kvHeads: number;
  readonly vocab: number;
}

export interface QuantiseWork {
  readonly kind: 'quantise';
  /** Of the fp32 file. */
  readonly baseDigest: string;
  readonly precision: QuantPrecision;
  /** FFN widths that candidates are known to be cut to. */
  readonly widthPercents: readonly number[];
}

export interface ReadPeftWork {
  readonly kind: 'readPeft';
  readonly baseDigest: string;
  readonly configDigest: string;
  readonly weightsDigest: string;
  readonly orderDigest: string | null;
  /** The precision whose zeros mask the adapter; absent: it is not masked. */
  readonly masked?: Precision | undefined;
}
export interface AdapterFileFacts {
  readonly digest: string;
  readonly bytes: number;
}

export interface WritePeftWork {
  readonly kind: 'writePeft';
  readonly baseDigest: string;
  /** A super-adapter file: stored, and exported beside it. */
  readonly adapterFile: Uint8Array;
}
export interface PeftFacts {
  /** Of the super-adapter file. */
  readonly digest: string;
  /** Digests of adapter_config.json and adapter_model.safetensors. */
  readonly files: Readonly<Record<string, string>>;
}

export interface ExportWork {
  readonly kind: 'export';
  readonly baseDigest: string;
  readonly adapterDigest: string;
  readonly tokenizerDigest: string;
  /** Null: the whole super-adapter. */
  readonly genome: string | null;
  readonly as: ExportKind;
  /** Null: what the kind has by itself. */
  readonly dtype: ExportDtype | null;
  /** Of the model, for files that hold one. */
  readonly name: string;
}

export interface PackageWork {
  readonly kind: 'package';
  readonly baseDigest: string;
  readonly adapterDigest: string;
  readonly tokenizerDigest: string;
  readonly genome: string;
  readonly stopIds: readonly number[];
  /** Candidates for golden prompts, in order of preference. */
  readonly prompts: readonly string[];
  /** How many of them are wanted. */
  readonly goldenCount: number;
}
export interface PackageFacts {
  readonly digest: string;
  readonly bytes: number;
  readonly golden: GoldenPrompt[];
}

export interface ImportDatasetWork extends Omit<DatasetImport, 'name' | 'task'> {
  readonly kind: 'importDataset';
  /** Where files lie while they are made; on the disk of the content folder. */
  readonly incomingFolder: string;
}
export interface DatasetFacts {
  readonly splits: Dataset['splits'];
  readonly report: DatasetReport;
}

export interface ModelWorkResults {
  layBase: LaidBaseFacts;
  quantise: BaseFile;
  pruneBase: PrunedBaseFacts;
  mergeAdapter: MergedBaseFacts;
  readPeft: AdapterFileFacts;
  writePeft: PeftFacts;
  export: AdapterExported;
  package: PackageFacts;
  importDataset: DatasetFacts;
}
export type ModelWork =
  | LayBaseWork
  | QuantiseWork
  | PruneBaseWork
  | MergeAdapterWork
  | ReadPeftWork
  | WritePeftWork
  | ExportWork
  | PackageWork
  | ImportDatasetWork;

/** What the worker thread says at its end. */
export type ModelWorkAnswer =
  | { readonly ok: true; readonly result: ModelWorkResults[keyof ModelWorkResults] }
  | { readonly ok: false; readonly code: string; readonly message: string };
