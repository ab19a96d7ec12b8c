import type { AdapterTune, Training, TrainingStart } from '@fleetlora/shared/protocol';
import { defaultTrainingOptions, defaultTuneOptions } from '../../training/index.js';
import { space } from './example-models.js';
import { ids, times } from './example-names.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const id = { id: 'Id or name of the training.' };
const unknown = { NOT_FOUND: 'no training has the id or name "intents-2"' };
const training: Training = {
  id: ids.training,
  name: 'intents',
  baseId: ids.base,
  datasetId: ids.dataset,
  state: 'running',
  options: { ...defaultTrainingOptions, steps: 600, batchRows: 64, learningRate: 0.003 },
  step: 150,
  loss: 1.234,
  tokensPerSecond: 812,
  etaSeconds: 1400,
  waitReason: null,
  adapterId: null,
  error: null,
  createdAtMs: times.imported,
};

export const trainingDocs = {
  startTraining: {
    tag: 'trainings',
    summary: 'Train a super-adapter',
    description:
      'Trains one LoRA whose sub-networks in `space` all work, on the train split of the data. Runs in the ' +
      'coordinator, survives its restart from a checkpoint, and ends as an adapter of the same name. What ' +
      '`options` leaves out has a default; the answer tells all of them.',
    commands: ['train'],
    body: exampleOf<TrainingStart>({
      name: 'intents',
      base: 'tiny-llama-7m',
      dataset: 'banking77',
      space,
      options: { steps: 600, batchRows: 64, learningRate: 0.003 },
    }),
    answer: exampleOf<Training>({
      ...training,
      step: 0,
      loss: null,
      tokensPerSecond: null,
      etaSeconds: null,
    }),
    errors: {
      NOT_FOUND: 'no base has the id or name "tiny-llama-7m"',
      ALREADY_EXISTS: 'an adapter named "intents" exists already',
      SPACE_INVALID: 'search space: layers names 8, the model has layers 0 to 7',
    },
  },
  tuneAdapter: {
    tag: 'trainings',
    summary: 'Tune one candidate of a super-adapter',
    description:
      'A short training of the one sub-network that was chosen, from the factors it has. It ends as an adapter ' +
      'of the name given, whose space is that candidate alone and whose rank is its largest; the super-adapter ' +
      'stays as it is.',
    commands: ['adapter tune'],
    params: { id: 'Id or name of the super-adapter.' },
    body: exampleOf<AdapterTune>({
      name: 'intents-small',
      candidate: `g1:u:${Array(8).fill('28.0.32.32.672').join('/')}`,
      dataset: 'banking77',
      options: { steps: 60 },
    }),
    answer: exampleOf<Training>({
      ...training,
      name: 'intents-small',
      options: { ...defaultTrainingOptions, ...defaultTuneOptions, steps: 60, from: ids.adapter },
      step: 0,
      loss: null,
      tokensPerSecond: null,
      etaSeconds: null,
    }),
    errors: {
      NOT_FOUND: 'no adapter has the id or name "intents"',
      ALREADY_EXISTS: 'an adapter named "intents-small" exists already',
      GENOME_MALFORMED: 'genome "g3:u:8" does not start with g1:u: or g1:m:',
      GENOME_OUTSIDE_SPACE: 'layer0.qkv.rank is 8, the space allows 28, 32',
    },
  },
  listTrainings: {
    tag: 'trainings',
    summary: 'All trainings',
    description: 'Running and past ones, from the first to the last.',
    commands: ['training list'],
    answer: exampleOf<Training[]>([training]),
  },
  showTraining: {
    tag: 'trainings',
    summary: 'One training and its progress',
    description:
      'Ask again to follow it: `step` grows to `options.steps`, and `state` leaves `running` at the end.',
    commands: ['training show', 'train', 'adapter tune'],
    params: id,
    answer: training,
    errors: unknown,
  },
  stopTraining: {
    tag: 'trainings',
    summary: 'Stop a training',
    description: 'It ends after the step in hand; no adapter is made.',
    commands: ['training stop'],
    params: id,
    answer: training,
    errors: { ...unknown, STATE_CONFLICT: 'training "intents" is finished, not running' },
  },
} as const satisfies Record<string, RouteDoc>;
