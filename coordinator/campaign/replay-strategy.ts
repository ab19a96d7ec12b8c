import { CodedError } from '@fleetlora/shared/errors';
import type { SearchStart } from '@fleetlora/shared/protocol';
import { decodeGenome, encodeGenome, type SearchSpace } from '@fleetlora/shared/space';
import { createStrategy, minimised, type Outcome, type Strategy } from '../search/index.js';
import type { StoredTrial } from './ports.js';
import { valuesOf } from './trial-values.js';

/**
 * The strategy as it was when the last of these trials' events was stored.
 * @throws STATE_CONFLICT when the strategy proposes something else than it did then (its code
 *   changed in between): going on would repeat candidates
 */
export function replayStrategy(
  spec: SearchStart,
  space: SearchSpace,
  trials: readonly StoredTrial[],
): Strategy {
  const strategy = createStrategy(spec.strategy, space, spec.seed);
  const events = trials
    .flatMap((trial) => [
      { sequence: trial.askedSequence, kind: 'asked' as const, trial },
      ...(trial.toldSequence === null
        ? []
        : [{ sequence: trial.toldSequence, kind: 'told' as const, trial }]),
    ])
    .sort((a, b) => a.sequence - b.sequence);
  for (const { kind, trial } of events) {
    if (kind === 'told') {
      strategy.tell(decodeGenome(trial.genome), outcomeOf(spec, trial));
      continue;
    }
    const proposal = strategy.ask();
    const found = proposal && encodeGenome(proposal.genome);
    if (found !== trial.genome)
      throw new CodedError(
        'STATE_CONFLICT',
        `trial ${trial.number} was ${trial.genome} when it was proposed, this version proposes ${found ?? 'nothing'}: the search cannot go on`,
      );
  }
  return strategy;
}

/** What the strategy is told of a trial that ended. */
export function outcomeOf(spec: SearchStart, trial: StoredTrial): Outcome {
  const values = trial.state === 'finished' ? valuesOf(trial, 'score') : null;
  if (!values) return { kind: 'infeasible' };
  return { kind: 'measured', vector: minimised(values, [spec.quality, ...spec.costs]) };
}
