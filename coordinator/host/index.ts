export * from './host-lease.js';
export type * from './ports.js';
