import type { Adapter, Base, Dataset } from '@fleetlora/shared/protocol';
import { presets } from '@fleetlora/shared/space';
import { digests, ids, times } from './example-names.js';

/** A preset that a whole model is searched with. */
export const space = presets.lonas as (typeof presets)[string];

export const base: Base = {
  id: ids.base,
  name: 'tiny-llama-7m',
  digest: digests.base,
  bytes: 30_408_704,
  parameters: 7_340_032,
  layers: 8,
  hidden: 256,
  ffnWidth: 768,
  kvHeads: 4,
  vocab: 4096,
  tokenizerDigest: digests.tokenizer,
  files: { fp32: { digest: digests.base, bytes: 30_408_704 } },
  createdAtMs: times.imported,
};

export const adapter: Adapter = {
  id: ids.adapter,
  name: 'intents',
  baseId: ids.base,
  digest: digests.adapter,
  bytes: 2_621_440,
  rankMax: 32,
  alpha: 64,
  space,
  files: {
    'adapter_config.json': digests.adapterConfig,
    'adapter_model.safetensors': digests.adapterWeights,
  },
  createdAtMs: times.trained,
};

export const dataset: Dataset = {
  id: ids.dataset,
  name: 'banking77',
  digest: digests.train,
  rows: 13_083,
  splits: {
    train: { digest: digests.train, rows: 10_003 },
    test: { digest: digests.test, rows: 3080 },
  },
  task: { kind: 'completion' },
  report: {
    labels: [
      { label: 'card_payment_fee_charged', rows: 227 },
      { label: 'contactless_not_working', rows: 75 },
    ],
    imbalance: 3.03,
    duplicateRows: 0,
    leaks: [{ splits: ['train', 'test'], rows: 2 }],
    warnings: ['2 prompts of test are in train as well: the score on them says little'],
  },
  createdAtMs: times.imported,
};
