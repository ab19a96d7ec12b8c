export * from './candidate-cut.js';
export * from './export-file.js';
export * from './export-kinds.js';
export * from './export-source.js';
export * from './plan-export.js';
export * from './tokenizer-files.js';
export * from './write-gguf-model.js';
export * from './write-hf.js';
