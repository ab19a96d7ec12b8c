import { completePlan, type Measurement, type MeasurePlan } from '@fleetlora/shared/protocol';
import type { StoredTrial } from './ports.js';

/** A measured trial and where it was measured. */
export interface MeasuredTrial {
  /** As the person named it. */
  readonly name: string;
  readonly trial: StoredTrial & { readonly measurement: Measurement };
  readonly searchName: string;
  readonly deviceClass: string;
  readonly baseId: string;
}

/**
 * In what two trials were measured differently, so that their figures say nothing of each other:
 * "threads 1 and 4". Empty when they compare. Trials of two devices compare only within a search
 * in which both devices measured the sentinel.
 */
export function listDifferences(a: MeasuredTrial, b: MeasuredTrial): string[] {
  const terms = [termsOf(a), termsOf(b)] as const;
  return [...terms[0]].flatMap(([name, first]) => {
    const second = terms[1].get(name);
    if (first === second) return [];
    if (name === 'device' && compareByCorrection(a, b)) return [];
    return [`${name} ${first} and ${second}`];
  });
}

/** Whether both latencies can be told as the reference device of their search would have them. */
export function compareByCorrection(a: MeasuredTrial, b: MeasuredTrial): boolean {
  return a.trial.searchId === b.trial.searchId && a.trial.correction !== null && b.trial.correction !== null;
}

function termsOf({ trial, deviceClass, baseId }: MeasuredTrial): ReadonlyMap<string, string> {
  const { plan, runtime, provider, memoryMethod = 'vmhwm', flags = [] } = trial.measurement;
  return new Map<string, string>([
    ['device class', deviceClass],
    ['device', trial.deviceId ?? 'unknown'],
    ['base model', baseId],
    ['runtime', runtime],
    // The provider it ran on, which may be another than the plan's.
    ['provider', provider],
    ...planTerms(plan),
    ['memory method', memoryMethod],
    ['processor', flags.includes('emulated') ? 'emulated' : 'real'],
  ]);
}

function planTerms(plan: MeasurePlan): [string, string][] {
  const { provider, ...numbers } = completePlan(plan);
  return Object.entries(numbers).map(([name, value]) => [name, String(value)]);
}
