import { defaultMeasurePlan, type SearchStart } from '@fleetlora/shared/protocol';

/** Rows kept out of everything, to be asked of the device before and after. */
export const QUERY_ROWS = 6;
/** Prompts whose answers travel with the release as its proof of health. */
export const GOLDEN_ROWS = 4;
/** Steps of `--train` without a number: about two minutes on two cores. */
export const DEFAULT_TRAINING_STEPS = 60;

/** The demo's search: everything that decides its result, in one place. */
export function demoSearch(
  fields: Pick<SearchStart, 'adapter' | 'dataset' | 'deviceClass' | 'trials'>,
): SearchStart {
  return {
    ...fields,
    name: 'demo',
    strategy: 'nsga2',
    quality: 'loss',
    costs: ['decodeMs', 'shippedBytes'],
    seed: 1,
    scoreRows: 200,
    finalRows: 1000,
    finalPoints: 8,
    require: ['accuracy>=max-2.0'],
    // Two sessions instead of five: somebody waits for the end. The front says what that costs.
    plan: { ...defaultMeasurePlan, threads: 1, sessions: 2, prefillRepeats: 12, decodeRepeats: 130 },
    maxTokens: 64,
    // Once: somebody works on this machine, and a demo must not end because it drifted.
    sentinelEvery: 1000,
    // Turns with it would take as long again, and a demo should end soon.
    besideSentinel: false,
  };
}

/**
 * Waits of the demo's agent for a cool and quiet machine, in seconds: it shares one with a
 * coordinator, and somebody sits before it, so it does not wait for quiet at all.
 */
export const demoGates = ['--cool-wait', '10', '--quiet-wait', '0'];
