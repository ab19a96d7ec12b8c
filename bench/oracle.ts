import { join } from 'node:path';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { measureOracle } from './figures/oracle-figures.js';
import { atLeast, atMost, type Bench, holds, skip } from './lib/bench.js';
import { prepareBase } from './lib/prepare-model.js';
import { checkout, findReference } from './lib/reference.js';

/**
 * Our graphs against PyTorch (transformers, peft): logits of base and mixed-rank adapter, greedy
 * continuations, tokenisation, LoRA gradients and the loss of a training row.
 */
export const oracleProof: Bench = {
  name: 'proof:oracle',
  summary: 'our graphs, tokenizer and gradients against PyTorch',
  options: {
    dir: 'oracle folder: cases.json, logits.safetensors, peft_mixed_rank/ (oracle/ of the reference folder)',
    base: 'Hugging Face folder of the model it was made with (deploy/demo/base)',
  },
  async run({ options, workFolder, say }) {
    const dir = options.dir ?? findReference('oracle');
    if (dir === null) return skip('no oracle folder: name one with --dir');
    say('laying out the base');
    const prepared = await prepareBase(
      options.base ?? join(checkout, 'deploy', 'demo', 'base'),
      join(workFolder, 'weights'),
    );
    say('comparing');
    const figures = await measureOracle(createNodeRuntime(), dir, prepared);
    return {
      figures: { ...figures },
      checks: [
        atLeast('cases', figures.cases, 1),
        atMost('maxLogitError', figures.maxLogitError, 2e-3),
        atMost('maxPeftLogitError', figures.maxPeftLogitError, 2e-3),
        holds('greedyEqual', figures.greedyEqual),
        holds('tokenisationEqual', figures.tokenisationEqual),
        atLeast('gradientsCompared', figures.gradientsCompared, 1),
        atMost('gradientError', figures.gradientError, 1e-3),
        atMost('meanCrossEntropyError', figures.meanCrossEntropyError, 1e-4),
      ],
    };
  },
};
