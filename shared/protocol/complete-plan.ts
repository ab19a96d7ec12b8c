import type { MeasurePlan } from './measure-plan.js';

/** A plan with what its absent fields mean. */
export function completePlan(plan: MeasurePlan): Required<MeasurePlan> {
  return { sessions: 2, provider: 'cpu', sustainedSeconds: 0, ...plan };
}
