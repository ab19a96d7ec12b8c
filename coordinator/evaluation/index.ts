export * from './answer-scorer.js';
export * from './check-scorer.js';
export * from './create-evaluation.js';
export * from './load-scorer.js';
export type * from './ports.js';
export type { AnsweredRow, ScorerLimits } from './scorer-messages.js';
