import { type Static, Type } from 'typebox';
import { closed, Milliseconds, ShortText } from './fields.js';
import { MachineState, measurementFlags } from './measurement.js';

/** Runs of a qualification, and the spread in percent up to which a device is accepted. */
export const qualificationRuns = 5;
export const qualificationLimitPercent = 5;

/**
 * Whether a device gives the same figure for the same work: the standard candidate, which every
 * agent makes for itself, measured several times with a pause between.
 */
export const Qualification = Type.Object(
  {
    accepted: Type.Boolean(),
    /** Largest less smallest decode median of the runs, in percent of their median. */
    spreadPercent: Type.Number({ minimum: 0, maximum: 1e8 }),
    limitPercent: Type.Number({ minimum: 0, maximum: 100 }),
    runs: Type.Array(Type.Object({ prefillMs: Milliseconds, decodeMs: Milliseconds }, closed), {
      minItems: 1,
      maxItems: 32,
    }),
    /** Name and version of the standard candidate: another one's figures do not compare. */
    standard: ShortText,
    threads: Type.Integer({ minimum: 1, maximum: 256 }),
    /** It is valid for these; `qualificationFits` compares them with the facts of a device. */
    agentVersion: ShortText,
    runtime: ShortText,
    provider: ShortText,
    cpuModel: ShortText,
    machine: MachineState,
    flags: Type.Array(Type.Enum([...measurementFlags]), { maxItems: measurementFlags.length }),
  },
  closed,
);
export type Qualification = Static<typeof Qualification>;

/** Whether a qualification was made by this agent, runtime and processor. */
export function qualificationFits(
  qualification: Pick<Qualification, 'agentVersion' | 'runtime' | 'provider' | 'cpuModel'>,
  facts: Pick<Qualification, 'agentVersion' | 'runtime' | 'provider' | 'cpuModel'>,
): boolean {
  return (['agentVersion', 'runtime', 'provider', 'cpuModel'] as const).every(
    (key) => qualification[key] === facts[key],
  );
}
