export * from './backoff.js';
export * from './heartbeat.js';
export * from './link.js';
export * from './mqtt-connection.js';
export * from './outbox.js';
export * from './rare-log.js';
export * from './session-number.js';
