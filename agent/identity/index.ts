export * from './coordinator-client.js';
export * from './device-facts.js';
export * from './device-key.js';
export * from './device-record.js';
export * from './enroll.js';
export * from './secret-file.js';
export * from './session-keeper.js';
