export type * from './command-context.js';
export * from './explain-error.js';
export * from './measure-files.js';
export * from './program.js';
export * from './render-figures.js';
export * from './render-measurement.js';
export * from './render-report.js';
export * from './run-command-line.js';
