import type { Random } from '@fleetlora/shared/random';
import type { CheckingSource } from './checking-source.js';

/** The files that a reader is given, by name. */
export type FuzzFiles = Readonly<Record<string, Uint8Array>>;

/** A reader, with good files to start from and the ways to make bad ones of them. */
export interface FuzzReader {
  /** Files that it reads. */
  readonly seeds: readonly FuzzFiles[];
  /**
   * The files of a seed, changed.
   * @param header `kept`: the reader gets past the header; `any`: anything may be changed
   */
  mutate(seed: number, header: 'kept' | 'any', random: Random): FuzzFiles;
  /**
   * Reads all there is in the files, as the program would.
   * @param pastHeader to be called when the header has been accepted
   * @throws CodedError of kind `input` for files that are no good; anything else is a finding
   */
  read(sources: Readonly<Record<string, CheckingSource>>, pastHeader: () => void): Promise<void>;
}
