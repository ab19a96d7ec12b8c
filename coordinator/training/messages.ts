import type { TrainingOptions } from '@fleetlora/shared/protocol';
import type { SearchSpaceFile } from '@fleetlora/shared/space';
import type { TrainingProgress } from './train-super-adapter.js';

/**
 * What the coordinator tells its training process: `start` once, `pause` and `goOn` as often as the
 * machine is needed, and `stop`, which counts at any time, in a pause and before the start too.
 */
export type ToTrainingChild =
  | {
      readonly kind: 'start';
      readonly contentFolder: string;
      readonly baseDigest: string;
      readonly tokenizerDigest: string;
      readonly datasetDigest: string;
      readonly space: SearchSpaceFile;
      readonly options: TrainingOptions;
      /** The base in the precision to train beside, where the catalog has it. */
      readonly quantisedDigest: string | null;
      /** Adapter file whose factors the run starts with. */
      readonly initialDigest: string | null;
      /** Read at the start when it exists, replaced at every checkpoint. */
      readonly checkpointPath: string;
      /** Where the trained adapter file is left. */
      readonly resultPath: string;
    }
  | { readonly kind: 'pause' }
  | { readonly kind: 'goOn' }
  | { readonly kind: 'stop' };

/**
 * What the training process answers. `stopped` means that a checkpoint was left, unless there was
 * nothing new to keep; `waiting`, that there is no space for what it has to write, until `goesOn`;
 * `paused`, that it stands between two steps until it is told to go on.
 */
export type FromTrainingChild =
  | { readonly kind: 'progress'; readonly progress: TrainingProgress }
  | { readonly kind: 'finished' }
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'goesOn' }
  | { readonly kind: 'paused' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };
