import type { Dataset, DatasetImport, DatasetReport, GoldenPrompt } from '@fleetlora/shared/protocol';

/**
 * Work that takes seconds and much memory: done in a worker thread, one piece at a time. Requests
 * and results are plain values; files go by digest through the content folder both sides know.
 */
export interface LayBaseWork {
  readonly kind: 'layBase';
  readonly configDigest: string;
  readonly weightsDigest: string;
  readonly tokenizerDigest: string;
  readonly generationDigest: string | null;
  /** tokenizer_config.json and chat_template.jinja. */
  readonly tokenizerConfigDigest: string | null;
  readonly chatTemplateDigest: string | null;
}
export interface LaidBaseFacts {
  readonly digest: string;
  readonly bytes: number;
  readonly parameters: number;
  readonly layers: number;
  readonly hidden: number;
  readonly ffnWidth: number;
  readonly vocab: number;
}

export interface ReadPeftWork {
  readonly kind: 'readPeft';
  readonly baseDigest: string;
  readonly configDigest: string;
  readonly weightsDigest: string;
  readonly orderDigest: string | null;
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
  readPeft: AdapterFileFacts;
  writePeft: PeftFacts;
  package: PackageFacts;
  importDataset: DatasetFacts;
}
export type ModelWork = LayBaseWork | ReadPeftWork | WritePeftWork | PackageWork | ImportDatasetWork;

/** What the worker thread says at its end. */
export type ModelWorkAnswer =
  | { readonly ok: true; readonly result: ModelWorkResults[keyof ModelWorkResults] }
  | { readonly ok: false; readonly code: string; readonly message: string };
