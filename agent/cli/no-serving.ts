import type { ServingActivity } from '../measure/index.js';

/** A command that only measures has no completions to wait for. */
export const noServing: ServingActivity = { startedRequests: () => 0, whenIdle: () => Promise.resolve() };
