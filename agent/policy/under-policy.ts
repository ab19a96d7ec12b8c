import type { Verdict } from '../measure/index.js';
import type { JobStep, PolicyWatch } from './policy-watch.js';

/** The two steps of a job; `O` is how it may end well. */
export interface JobSteps<O extends { readonly outcome: string }> {
  /** Brings the job's files here. */
  readonly fetch: (signal: AbortSignal) => Promise<void>;
  readonly measure: (signal: AbortSignal) => Promise<O | Verdict>;
}

/**
 * Does a job as long as the device may. A job that it may not do, or no longer, is `postponed`
 * with the reasons; what was fetched stays for the next one.
 * @param signal cancels the job; that is not a postponement
 */
export async function underPolicy<O extends { readonly outcome: 'measured' | 'qualified' }>(
  watch: PolicyWatch,
  signal: AbortSignal,
  steps: JobSteps<O>,
): Promise<O | Verdict> {
  const fetched = await withPermit('fetch', steps.fetch);
  if ('postponed' in fetched) return explain(fetched.postponed);
  const measured = await withPermit('measure', steps.measure);
  if ('postponed' in measured) return explain(measured.postponed);
  if (endedWell(measured.value)) watch.finished();
  return measured.value;

  async function withPermit<T>(
    step: JobStep,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<{ value: T } | { postponed: readonly string[] }> {
    const permit = watch.permit(step);
    const withdrawn = (): boolean => permit.signal.aborted && !signal.aborted;
    try {
      if (withdrawn()) return { postponed: permit.reasons() };
      const value = await work(AbortSignal.any([signal, permit.signal]));
      // What was measured to the end before it heard of the withdrawal counts.
      const cutShort = withdrawn() && !endedWell(value);
      return cutShort ? { postponed: permit.reasons() } : { value };
    } catch (error) {
      if (withdrawn()) return { postponed: permit.reasons() };
      throw error;
    } finally {
      permit.end();
    }
  }
}

function endedWell(value: unknown): boolean {
  const { outcome } = (value ?? {}) as { readonly outcome?: unknown };
  return outcome === 'measured' || outcome === 'qualified';
}

function explain(reasons: readonly string[]): Verdict {
  return { outcome: 'postponed', reason: reasons.join('; ') };
}
