import { fuzzGguf } from './fuzz-gguf.js';
import { fuzzHf } from './fuzz-hf.js';
import { fuzzPeft } from './fuzz-peft.js';
import type { FuzzReader } from './fuzz-reader.js';
import { fuzzSafetensors } from './fuzz-safetensors.js';

/** Everything that reads a stranger's weights. */
export const fuzzReaders = {
  safetensors: fuzzSafetensors,
  gguf: fuzzGguf,
  peft: fuzzPeft,
  folder: fuzzHf,
} as const satisfies Record<string, () => Promise<FuzzReader>>;

export type ReaderName = keyof typeof fuzzReaders;
