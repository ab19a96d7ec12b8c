/** Ids, digests and times that the examples share, so that one leads to the other. */
export const ids = {
  base: 'base_01kfb3t2m8q4z6x9w5v7r1n0pa',
  adapter: 'adp_01kfb4c9d2e5f8g1h4j7k0m3nb',
  dataset: 'data_01kfb3w7y0z3a6b9c2d5e8f1gc',
  training: 'trn_01kfb3z1h4j7k0m3n6p9q2r5sd',
  device: 'dev_01kfb2r4s7t0v3w6x9y2z5a8be',
  job: 'job_01kfb5d8e1f4g7h0j3k6m9n2pa',
  search: 'srch_01kfb5e0f3g6h9j2k5m8n1p4qf',
  trial: 'trl_01kfb5g2r5s8t1v4w7x0y3z6ag',
  release: 'rel_01kfb7j5b8c1d4e7f0g3h6j9kh',
  rollout: 'roll_01kfb7n8m1n4p7q0r3s6t9v2wj',
} as const;

const digest = (begin: string): string => begin.padEnd(64, '0123456789abcdef');
export const digests = {
  config: digest('c0f1'),
  weights: digest('57a9'),
  tokenizer: digest('70ce'),
  base: digest('ba5e'),
  baseQ4: digest('ba54'),
  adapterConfig: digest('adc0'),
  adapterWeights: digest('ad57'),
  adapter: digest('ada9'),
  train: digest('da01'),
  test: digest('da02'),
  genome: digest('9e03'),
  package: digest('9a04'),
  manifest: digest('3a05'),
  key: digest('4e06'),
} as const;

/** 31 January 2026, 14:00 UTC and later, ms. */
const start = Date.UTC(2026, 0, 31, 14);
export const times = {
  started: start,
  imported: start + 300_000,
  trained: start + 2_400_000,
  searched: start + 9_000_000,
  released: start + 9_600_000,
} as const;
