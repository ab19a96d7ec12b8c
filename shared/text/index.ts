export * from './encode-row.js';
export * from './pad-rows.js';
export * from './rows.js';
export * from './tokenizer.js';
