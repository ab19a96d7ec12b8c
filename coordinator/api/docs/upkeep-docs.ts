import {
  defaultRetention,
  type GarbageCollect,
  type GarbageReport,
  type Retention,
} from '@fleetlora/shared/protocol';
import { digests, times } from './example-names.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const report: GarbageReport = {
  deleted: false,
  items: [
    {
      kind: 'artifact',
      id: digests.weights,
      what: 'a stored file',
      bytes: 30_408_704,
      lastUsedAtMs: times.imported,
      reason: 'no record names it, and it is older than 30 days',
    },
  ],
  bytes: 30_408_704,
  storedBytes: 96_468_992,
  neededBytes: 66_060_288,
};

export const upkeepDocs = {
  showRetention: {
    tag: 'upkeep',
    summary: 'How long things are kept',
    description: 'In days after they were last of use; null keeps for ever.',
    commands: ['retention show', 'retention set'],
    answer: exampleOf<Retention>(defaultRetention),
  },
  setRetention: {
    tag: 'upkeep',
    summary: 'Set how long things are kept',
    description:
      'Replaces all settings. Nothing is deleted by this; with `automatic` it is once a day from now on.',
    commands: ['retention set'],
    body: exampleOf<Retention>({ ...defaultRetention, searchesDays: 365, automatic: true }),
    answer: exampleOf<Retention>({ ...defaultRetention, searchesDays: 365, automatic: true }),
  },
  collectGarbage: {
    tag: 'upkeep',
    summary: 'Show or delete what is over its time',
    description:
      'With `dryRun` the plan alone. Nothing that a running search, a training, a release, a rollout or a device ' +
      'still needs is ever in it.',
    commands: ['gc'],
    body: exampleOf<GarbageCollect>({ dryRun: true }),
    answer: report,
  },
  backup: {
    tag: 'upkeep',
    summary: 'Everything as one tar file',
    description:
      'Rows, keys, checkpoints and files, as of one moment; searches and trainings go on meanwhile. It holds keys ' +
      'and the admin token: keep it as safe as the data folder. `fleetlora restore` makes a data folder of it, and ' +
      'refuses one that was not received to its end.',
    commands: ['backup'],
    raw: {
      responses: {
        200: {
          description: 'The tar file, as a stream.',
          content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
        },
      },
    },
  },
} as const satisfies Record<string, RouteDoc>;
