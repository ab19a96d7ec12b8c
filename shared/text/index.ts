export * from './encode-row.js';
export * from './rows.js';
export * from './tokenizer.js';
