import { join } from 'node:path';
import { measureOracle } from '@fleetlora/bench/figures/oracle-figures';
import { prepareBase } from '@fleetlora/bench/lib/prepare-model';
import { createNodeRuntime } from '@fleetlora/shared/node';
import t from 'tap';
import { findReference, missingReference } from '../lib/reference.js';

t.test(
  'PyTorch: logits within 2e-3, gradients within 1e-3 of the largest, loss within 1e-4, greedy text and tokens equal',
  { skip: missingReference('oracle', 'cases.json') || missingReference('models', 'tiny-llama-7m') },
  async (t) => {
    const model = findReference('models', 'tiny-llama-7m') as string;
    const prepared = await prepareBase(model, join(t.testdir(), 'weights'));
    const figures = await measureOracle(createNodeRuntime(), findReference('oracle') as string, prepared);
    t.ok(figures.cases > 0, `${figures.cases} cases`);
    t.ok(figures.maxLogitError <= 2e-3, `base logits ${figures.maxLogitError}`);
    t.ok(figures.maxPeftLogitError <= 2e-3, `adapter logits ${figures.maxPeftLogitError}`);
    t.ok(figures.greedyEqual, 'greedy continuations');
    t.ok(figures.tokenisationEqual, 'tokenisations');
    t.ok(figures.gradientsCompared > 0, `${figures.gradientsCompared} gradients`);
    t.ok(figures.gradientError <= 1e-3, `gradients ${figures.gradientError}`);
    t.ok(figures.meanCrossEntropyError <= 1e-4, `loss ${figures.meanCrossEntropyError}`);
  },
);
