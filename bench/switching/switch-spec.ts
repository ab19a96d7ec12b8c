import type { PrivateMemory } from '../lib/private-memory.js';

/** How candidates are held by a process. */
export const holdings = ['one session', 'mapped', 'prepacked', 'separate'] as const;
/**
 * `one session`: factors as inputs of one session. `mapped` and `prepacked`: a session each over the
 * files that all share. `separate`: a merged ONNX export each, loaded as any program loads one.
 */
export type Holding = (typeof holdings)[number];

/** Candidates over one base and one super-adapter. */
export interface SharedFiles {
  readonly folder: string;
  /** File names in it. */
  readonly base: string;
  readonly adapter: string;
  readonly genomes: readonly string[];
  /** Capacity of each cache. */
  readonly positions: number;
}

/** A candidate in an ONNX folder, and what a program has to know to feed it. */
export interface ExportedModel {
  /** Holds model.onnx and what it names. */
  readonly folder: string;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  /** Of all files in the folder. */
  readonly bytes: number;
}

/** What a process is to open, one after another. */
export type SwitchSpec =
  | (SharedFiles & { readonly holding: Exclude<Holding, 'separate'> })
  | { readonly holding: 'separate'; readonly models: readonly ExportedModel[] };

/** Times in ms and logits, by candidate in the order that they were opened in. */
export interface SwitchAnswer {
  /** From the genome's text, or a folder's name, to a candidate that can run. */
  readonly readyMs: readonly number[];
  /** Its first run, of one token. */
  readonly firstMs: readonly number[];
  /** The same run once more. */
  readonly againMs: readonly number[];
  /** Median of tokens behind a prompt. */
  readonly stepMs: readonly number[];
  /** The first logits behind that prompt. */
  readonly logits: readonly (readonly number[])[];
  /** Bytes that were read from weight files after the first candidate was open; mapped ones are not. */
  readonly laterReadBytes: number;
  /** Before the first candidate, and with it the runtime's library, was there; with it alone; with all. */
  readonly memory: Readonly<Record<'before' | 'withOne' | 'withAll', PrivateMemory>>;
}
