import type { Release, ReleaseCreate, Rollout, RolloutStart } from '@fleetlora/shared/protocol';
import { digests, ids, times } from './example-names.js';
import { trial } from './example-searches.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const release: Release = {
  id: ids.release,
  number: 4,
  name: 'intents-1',
  searchId: ids.search,
  trialId: ids.trial,
  genome: trial.genome,
  packageDigest: digests.package,
  packageBytes: 1_204_224,
  manifestDigest: digests.manifest,
  signed: {
    keyId: digests.key,
    manifest: `{"version":1,"releaseId":"${ids.release}","number":4}`,
    signature: 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kA==',
  },
  createdAtMs: times.released,
};
const rollout: Rollout = {
  id: ids.rollout,
  releaseId: ids.release,
  state: 'succeeded',
  devices: [
    {
      deviceId: ids.device,
      name: 'kitchen-pi',
      state: 'succeeded',
      reason: null,
      healthy: 4,
      checked: 4,
      updatedAtMs: times.released + 30_000,
    },
  ],
  createdAtMs: times.released,
};
const started: Rollout = {
  ...rollout,
  state: 'running',
  devices: rollout.devices.map((device) => ({ ...device, state: 'waiting', healthy: null, checked: null })),
};
const unknownRelease = { NOT_FOUND: 'no release has the id or name "intents-2"' };

export const releaseDocs = {
  createRelease: {
    tag: 'releases',
    summary: 'Package and sign a trial of a search',
    description:
      'Without `trial` the point that the search chose. The package records what the candidate answers to a few ' +
      'fixed prompts (`goldenPrompts`, or rows of the data); devices serve it only after they gave the same answers.',
    commands: ['release create'],
    body: exampleOf<ReleaseCreate>({ name: 'intents-1', search: 'intents-pi5' }),
    answer: release,
    errors: {
      NOT_FOUND: 'no search has the id or name "intents-pi6"',
      ALREADY_EXISTS: 'a release named "intents-1" exists already',
      STATE_CONFLICT: 'search "intents-pi5" has not chosen a point yet, name a trial',
      BAD_REQUEST: 'the golden prompt "Query: ..." is answered without a clear lead',
      CHILD_FAILED: 'the coordinator could not do it in a process of its own',
    },
  },
  listReleases: {
    tag: 'releases',
    summary: 'All releases',
    description:
      'From the first to the last; `number` grows, and devices refuse a smaller one than they run.',
    commands: ['release list'],
    answer: exampleOf<Release[]>([release]),
  },
  showRelease: {
    tag: 'releases',
    summary: 'One release',
    description: '`signed.manifest` is the exact text that was signed (Ed25519).',
    commands: ['release show'],
    params: { id: 'Id or name of the release.' },
    answer: release,
    errors: unknownRelease,
  },
  startRollout: {
    tag: 'releases',
    summary: 'Bring a release to devices',
    description:
      'To the named devices, or to all of a class. Each fetches, verifies, proves the fixed prompts and switches, or ' +
      'keeps what it has and says why. Devices that are offline follow when they come back.',
    commands: ['rollout start'],
    body: exampleOf<RolloutStart>({ release: 'intents-1', deviceClass: 'raspberry-pi-5' }),
    answer: started,
    errors: {
      ...unknownRelease,
      BAD_REQUEST: 'rollout: class "raspberry-pi-6" has no device, wanted at least one device',
    },
  },
  listRollouts: {
    tag: 'releases',
    summary: 'All rollouts',
    description: 'From the first to the last.',
    commands: ['rollout list'],
    answer: exampleOf<Rollout[]>([rollout]),
  },
  showRollout: {
    tag: 'releases',
    summary: 'One rollout, device by device',
    description: 'Ask again to follow it; `state` leaves `running` when every device has ended.',
    commands: ['rollout show', 'rollout start'],
    params: { id: 'Id of the rollout.' },
    answer: rollout,
    errors: { NOT_FOUND: `there is no rollout "${ids.rollout}"` },
  },
} as const satisfies Record<string, RouteDoc>;
