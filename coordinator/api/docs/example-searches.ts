import {
  defaultMeasurePlan,
  type Front,
  type Search,
  type SearchStart,
  type Trial,
  type TrialComparison,
} from '@fleetlora/shared/protocol';
import { digests, ids, times } from './example-names.js';

export const start: SearchStart = {
  name: 'intents-pi5',
  adapter: 'intents',
  dataset: 'banking77',
  deviceClass: 'raspberry-pi-5',
  strategy: 'nsga2',
  quality: 'loss',
  costs: ['decodeMs', 'peakBytes'],
  trials: 40,
  seed: 1,
  scoreRows: 200,
  finalRows: 1000,
  finalPoints: 8,
  require: ['accuracy>=max-1.0', 'peakBytes<=200MB'],
  plan: defaultMeasurePlan,
  maxTokens: 64,
};

export const search: Search = {
  id: ids.search,
  name: start.name,
  state: 'finished',
  spec: start,
  adapterId: ids.adapter,
  spaceSize: 1.6e9,
  finishedTrials: 39,
  infeasibleTrials: 1,
  pendingTrials: 0,
  elapsedSeconds: 1834,
  reason: null,
  createdAtMs: times.trained,
};

const MB = 1e6;
export const trial: Trial = {
  id: ids.trial,
  number: 17,
  label: null,
  genome: `g1:u:${Array.from({ length: 8 }, (_, layer) => `${layer < 3 ? 16 : 32}.16.16.8.576`).join('/')}`,
  genomeDigest: digests.genome,
  state: 'finished',
  deviceId: ids.device,
  score: { rows: 200, correct: 158, accuracy: 79, accuracyLow: 72.8, accuracyHigh: 84.1, loss: 0.512 },
  finalScore: {
    rows: 1000,
    correct: 781,
    accuracy: 78.1,
    accuracyLow: 75.4,
    accuracyHigh: 80.6,
    loss: 0.534,
  },
  measurement: {
    plan: { ...defaultMeasurePlan, prefillRepeats: 3, decodeRepeats: 4 },
    runtime: 'onnxruntime-node 1.30.0',
    provider: 'cpu',
    coldLoadMs: 412.5,
    warmLoadMs: 131.2,
    prefill: { p50Ms: 48.1, p90Ms: 49, n: 3, samplesMs: [48.1, 47.9, 49] },
    decode: { p50Ms: 2.31, p90Ms: 2.4, n: 4, samplesMs: [2.31, 2.28, 2.4, 2.33] },
    baselineBytes: 52 * MB,
    peakBytes: 141 * MB,
    anonymousBytes: 118 * MB,
    shippedBytes: 1_204_224,
  },
  correction: null,
  reason: null,
};

export const front: Front = {
  searchId: ids.search,
  state: 'finished',
  points: [trial],
  baselines: [{ ...trial, id: 'trl_01kfb5f9k2m5n8p1q4r7s0t3va', number: 1, label: 'max' }],
  chosenTrialId: ids.trial,
  chosenReason: 'lowest decodeMs of the points that meet accuracy>=max-1.0 and peakBytes<=200MB',
  notices: ['2 prompts of test are in train as well: the score on them says little'],
};

export const comparison: TrialComparison = {
  a: { ...trial, id: 'trl_01kfb5f9k2m5n8p1q4r7s0t3va', number: 1, label: 'max' },
  b: trial,
  paired: true,
  decode: { percent: -4.31, low: -4.62, high: -4.02 },
  prefill: { percent: -2.18, low: -3.05, high: -1.33 },
  peakBytesPercent: -1.2,
  shippedBytesPercent: -38.5,
  notices: [],
};
