export * from './gguf-config.js';
export * from './gguf-source.js';
export * from './gguf-writer.js';
export type { GgufNumbers, GgufScalar, GgufValue } from './head-reader.js';
export * from './quantise-gguf.js';
export * from './read-gguf.js';
export * from './read-gguf-rows.js';
export * from './tensor-types.js';
