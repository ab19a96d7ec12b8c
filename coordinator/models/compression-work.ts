import type { BaseFiles, BaseMerged, BasePruning, Importance } from '@fleetlora/shared/protocol';
import type { Precision } from '@fleetlora/shared/space';

/** Rows that a base is calibrated on: some of a stored file of rows, always the same ones. */
export interface CalibrationRows {
  readonly datasetDigest: string;
  /** At most. */
  readonly rows: number;
}

export interface PruneBaseWork {
  readonly kind: 'pruneBase';
  readonly baseDigest: string;
  readonly tokenizerDigest: string;
  readonly sparsity: number;
  readonly calibration: CalibrationRows;
}
export interface PrunedBaseFacts {
  readonly digest: string;
  readonly bytes: number;
  readonly pruning: BasePruning;
}

export interface MergeAdapterWork {
  readonly kind: 'mergeAdapter';
  /** Digests of the base's files; one that is needed and not there is made on the way. */
  readonly base: Readonly<Partial<Record<Precision, string>>> & { readonly fp32: string };
  readonly adapterDigest: string;
  /** Canonical text, in precision `into`. */
  readonly genome: string;
  readonly into: Precision;
  /** Where files lie while they are made. */
  readonly incomingFolder: string;
}
export interface MergedBaseFacts {
  readonly files: BaseFiles;
  readonly merged: BaseMerged;
  /** Null where it was not, or is not any more, a sparse base. */
  readonly pruning: BasePruning | null;
}

/** By what a model is to be sorted, and what that needs. */
export interface ModelSorting {
  readonly importance: Importance;
  /** Of `wanda` alone. */
  readonly calibration?: CalibrationRows | undefined;
  readonly incomingFolder: string;
}
