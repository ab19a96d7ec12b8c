import { type Static, Type } from 'typebox';
import { closed } from './fields.js';
import { limits } from './limits.js';

export const providers = ['cpu'] as const;
/** Longest continuous run of the sustained pass: phones and boards reach their steady heat in minutes. */
export const maxSustainedSeconds = 1800;

/** How a candidate is measured: two trials are comparable when their plans are equal. */
export const MeasurePlan = Type.Object(
  {
    promptTokens: Type.Integer({ minimum: 1, maximum: 8192, description: 'prompt length of TTFT' }),
    kvTokens: Type.Integer({ minimum: 1, maximum: 8192, description: 'cache length of TPOT' }),
    /** Samples of a prefill and of a decode step, over all sessions; a session takes an equal share, rounded up. */
    prefillRepeats: Type.Integer({ minimum: 1, maximum: limits.samples }),
    decodeRepeats: Type.Integer({ minimum: 1, maximum: limits.samples }),
    threads: Type.Integer({ minimum: 1, maximum: 256 }),
    /** Fresh sessions, each in a process of its own. Absent: 2, as in plans of before 0.3. */
    sessions: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.sessions })),
    /** Execution provider. Absent: `cpu`. */
    provider: Type.Optional(Type.Enum([...providers])),
    /** Length of a continuous run of decode steps, which shows what heat costs. Absent or 0: none. */
    sustainedSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: maxSustainedSeconds })),
  },
  closed,
);
export type MeasurePlan = Static<typeof MeasurePlan>;

/**
 * 128-token prompts, five fresh sessions. A session's 65 steps and 10 prompts make the noise between
 * samples small beside what one session differs from the next by; 325 samples establish a p90 by the
 * early-stopping rule, 50 a p50.
 */
export const defaultMeasurePlan: MeasurePlan = {
  promptTokens: 128,
  kvTokens: 256,
  prefillRepeats: 50,
  decodeRepeats: 325,
  threads: 1,
  sessions: 5,
  provider: 'cpu',
};
