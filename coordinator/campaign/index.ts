export * from './create-campaign.js';
export { createHostTurns, type HostTurns } from './host-turns.js';
export type * from './ports.js';
