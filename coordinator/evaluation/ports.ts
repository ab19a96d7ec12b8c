/** Types that travel between the coordinator and its evaluation threads. */
import type { RowScore } from '@fleetlora/shared/engine';
import type { ErrorCode } from '@fleetlora/shared/errors';
import type { StopFlag } from '@fleetlora/shared/node';
import type { DatasetTask } from '@fleetlora/shared/protocol';
import type { TokenRow } from '@fleetlora/shared/text';

export type { RowScore, TokenRow };

/**
 * Rows named, not carried: the data set is shuffled with `seed` (null: kept in file order), then
 * rows [skip, skip + take) are used. Each thread encodes a set once and keeps it.
 */
export interface RowSet {
  readonly datasetDigest: string;
  readonly tokenizerDigest: string;
  readonly maxTokens: number;
  readonly seed: number | null;
  readonly skip: number;
  readonly take: number;
  /**
   * What decides whether a row is right: `completion` its target tokens, `generation` the scorer
   * on what the model writes. The loss is of the expected text either way.
   */
  readonly task: DatasetTask;
}

export interface ScoreRequest {
  readonly baseDigest: string;
  readonly adapterDigest: string;
  /** Canonical text. Its form matters only for the numbers of a `package`. */
  readonly genome: string;
  /** Rows that are carried are completions. */
  readonly rows: RowSet | readonly TokenRow[];
  /**
   * `slices` of the super-adapter (the default) serve all forms of a shape from one session.
   * `package` scores exactly what a release of the candidate ships, rounded to half precision.
   */
  readonly numbers?: 'slices' | 'package';
}

/** Coordinator to thread. */
export interface WorkerSettings {
  readonly contentFolder: string;
  readonly threads: number;
  /** Raised when evaluation closes. */
  readonly stop: StopFlag;
}
export interface WorkerRequest {
  readonly id: number;
  readonly request: ScoreRequest;
}
/** Thread to coordinator. */
export type WorkerReply =
  | { readonly id: number; readonly scores: RowScore[] }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };
