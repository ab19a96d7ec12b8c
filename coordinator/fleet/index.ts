export type { FleetLog } from './context.js';
export { createFleet, type Fleet } from './fleet.js';
export { sendsAtMost } from './handle-birth.js';
export { hardTimeoutMs } from './job-deadlines.js';
export { explainIdle, planDispatch } from './plan-dispatch.js';
export type * from './ports.js';
