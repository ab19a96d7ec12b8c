import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createInstaller,
  type InstalledRelease,
  type InstallerDoors,
  type InstallStore,
  openInstallStore,
  proveHealth,
  verifyManifest,
} from '@fleetlora/agent/install';
import { CodedError } from '@fleetlora/shared/errors';
import type { Desired, ReleaseManifest, RolloutReport } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';

const manifestOf = (number: number, changes: Partial<ReleaseManifest> = {}): ReleaseManifest => ({
  version: 1,
  releaseId: `rel_${String(number).padStart(10, '0')}`,
  number,
  name: `release ${number}`,
  createdAtMs: 0,
  genome: 'g1:u:4.4.4.4.8/4.4.4.4.8',
  baseDigest: 'a'.repeat(64),
  tokenizerDigest: 'b'.repeat(64),
  packageDigest: String(number).repeat(64),
  packageBytes: 10,
  stopIds: [0],
  golden: [{ text: 'one', promptIds: [1, 2], expectedIds: [3, 4] }],
  ...changes,
});
const desiredOf = (number: number, rollout = number): Desired => ({
  rolloutId: `rol_${String(rollout).padStart(10, '0')}`,
  releaseId: `rel_${String(number).padStart(10, '0')}`,
  manifestDigest: `${number}`.padStart(64, 'f'),
});

interface Model {
  closed: boolean;
  continueGreedily(): Promise<readonly number[]>;
  close(): Promise<void>;
}

async function open(t: Test, changes: Partial<InstallerDoors<Model>> = {}, file?: string) {
  const path = file ?? join(await tempFolder(t), 'install.json');
  const store: InstallStore = await openInstallStore(path);
  const reports: RolloutReport[] = [];
  const served: InstalledRelease[] = [];
  const discarded: string[] = [];
  const errors: unknown[] = [];
  const fetched: string[] = [];
  const models: Model[] = [];
  let told: (() => void) | null = null;
  const installer = createInstaller<Model>({
    store,
    fetch: async (digest) => {
      fetched.push(digest);
      return 5;
    },
    readManifest: async (digest) => manifestOf(Number(digest.slice(-1))),
    expand: async () => 'e'.repeat(64),
    load: async () => {
      const model: Model = {
        closed: false,
        continueGreedily: async () => [3, 4],
        async close() {
          model.closed = true;
        },
      };
      models.push(model);
      return model;
    },
    serve: (release) => void served.push(release),
    discard: async (digests) => void discarded.push(...digests),
    report: async (report) => {
      reports.push(report);
      told?.();
    },
    exclusively: (work) => work(),
    onError: (error) => void errors.push(error),
    ...changes,
  });
  t.teardown(() => installer.stop());
  /** Resolves with the report that ends a rollout. */
  const ended = async (rolloutId: string, times = 1): Promise<RolloutReport> => {
    for (;;) {
      const finals = reports.filter(
        (report) => report.rolloutId === rolloutId && /succeeded|failed|rejected/.test(report.state),
      );
      const last = finals[times - 1];
      if (last) return last;
      await new Promise<void>((resolve) => {
        told = resolve;
      });
    }
  };
  return { installer, store, reports, served, discarded, errors, fetched, models, ended, path };
}

t.test('a release is fetched, verified, loaded, proved and only then served', async (t) => {
  const { installer, reports, served, ended, store, fetched, discarded } = await open(t, {
    serve: (release) => {
      t.equal(store.record.installed?.releaseId, release.releaseId, 'the switch is on disk first');
      served.push(release);
    },
  });
  const desired = desiredOf(1);
  installer.want(desired);
  t.same(await ended(desired.rolloutId), {
    rolloutId: desired.rolloutId,
    releaseId: desired.releaseId,
    state: 'succeeded',
    downloadedBytes: 20,
    healthy: 1,
    checked: 1,
  });
  t.same(
    reports.map(({ state }) => state),
    ['fetching', 'verifying', 'loading', 'proving', 'succeeded'],
  );
  t.equal(fetched[0], desired.manifestDigest, 'the manifest is verified before anything else is fetched');
  t.same(discarded, ['1'.repeat(64)], 'the package is spent once it is expanded');
  t.same(store.record.desired, null);
});

t.test('a release that fails its golden prompts is closed, and the old one stays', async (t) => {
  let answer = [3, 4];
  const { installer, served, ended, store, models } = await open(t, {
    load: async () => {
      const model: Model = {
        closed: false,
        continueGreedily: async () => answer,
        async close() {
          model.closed = true;
        },
      };
      models.push(model);
      return model;
    },
  });
  installer.want(desiredOf(1));
  await ended(desiredOf(1).rolloutId);
  answer = [3, 5];
  installer.want(desiredOf(2));
  const report = await ended(desiredOf(2).rolloutId);
  t.match(report, {
    state: 'failed',
    healthy: 0,
    checked: 1,
    reason: /^proving: 0 of 1 .*\[3 5\], wanted \[3 4\]/,
  });
  t.equal(store.record.installed?.number, 1);
  t.equal(served.length, 1);
  t.same(
    models.map(({ closed }) => closed),
    [false, true],
  );
});

t.test('a device does not go back: number 2, then 1 is refused, 2 again is not', async (t) => {
  const { installer, ended, store, fetched } = await open(t);
  installer.want(desiredOf(2));
  t.equal((await ended(desiredOf(2).rolloutId)).state, 'succeeded');
  fetched.length = 0;
  installer.want(desiredOf(1));
  t.match(await ended(desiredOf(1).rolloutId), { state: 'rejected', reason: /number 1 is older than 2/ });
  t.same(fetched, [desiredOf(1).manifestDigest], 'nothing of it is fetched');
  installer.want(desiredOf(2, 7));
  t.equal((await ended(desiredOf(2, 7).rolloutId)).state, 'succeeded');
  t.equal(store.record.installed?.number, 2);
});

t.test('a manifest of another release is rejected', async (t) => {
  const { installer, ended } = await open(t, { readManifest: async () => manifestOf(9) });
  installer.want(desiredOf(1));
  t.match(await ended(desiredOf(1).rolloutId), {
    state: 'rejected',
    reason: /rel_0000000009, wanted rel_0000000001/,
  });
});

t.test('a signature that does not hold is rejected, an unreachable coordinator is a failure', async (t) => {
  const ends = [
    ['SIGNATURE_INVALID', 'rejected'],
    ['COORDINATOR_UNREACHABLE', 'failed'],
  ] as const;
  for (const [code, state] of ends) {
    const { installer, ended, served } = await open(t, {
      readManifest: async () => {
        throw new CodedError(code, 'because');
      },
    });
    installer.want(desiredOf(1));
    t.match(await ended(desiredOf(1).rolloutId), { state, reason: 'fetching: because' });
    t.same(served, []);
  }
});

t.test('a rollout that ended is answered with its end, not tried again', async (t) => {
  const { installer, ended, fetched, path } = await open(t);
  installer.want(desiredOf(1));
  const first = await ended(desiredOf(1).rolloutId);
  const { length } = fetched;
  installer.want(desiredOf(1));
  t.same(await ended(desiredOf(1).rolloutId, 2), first);
  t.equal(fetched.length, length);
  const after = await open(t, {}, path);
  after.installer.want(desiredOf(1));
  t.same(await after.ended(desiredOf(1).rolloutId), first, 'after a restart too');
  t.same(after.fetched, []);
});

t.test(
  'an agent that stopped midway goes on, and one that was taken down three times gives up',
  async (t) => {
    let path: string | undefined;
    const forever = () => new Promise<never>(() => {});
    for (let begun = 1; begun <= 3; begun++) {
      let arrived = (): void => {};
      const loading = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const killed = await open(
        t,
        {
          load: () => {
            arrived();
            return forever();
          },
          // A killed process stops nothing in order.
          exclusively: (work) => {
            void work();
            return Promise.resolve() as never;
          },
        },
        path,
      );
      path = killed.path;
      if (begun === 1) killed.installer.want(desiredOf(1));
      else killed.installer.resume();
      await loading;
      t.equal(killed.store.record.begun, begun);
    }
    const last = await open(t, {}, path);
    last.installer.resume();
    t.match(await last.ended(desiredOf(1).rolloutId), { state: 'failed', reason: /begun 3 times/ });
    t.same(last.fetched, []);
  },
);

t.test('an agent that is stopped in order does not count it', async (t) => {
  let arrived = (): void => {};
  const fetching = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const first = await open(t, {
    fetch: (_digest, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        arrived();
      }),
  });
  first.installer.want(desiredOf(1));
  await fetching;
  await first.installer.stop();
  t.same(
    first.reports.map(({ state }) => state),
    ['fetching'],
  );
  t.same([first.store.record.desired, first.store.record.begun], [desiredOf(1), 0]);
  const second = await open(t, {}, first.path);
  second.installer.resume();
  t.equal((await second.ended(desiredOf(1).rolloutId)).state, 'succeeded');
});

t.test('of several wishes that wait the last one counts', async (t) => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { installer, ended, store } = await open(t, {
    exclusively: async (work) => {
      await gate;
      return work();
    },
  });
  installer.want(desiredOf(1));
  installer.want(desiredOf(2));
  installer.want(desiredOf(2));
  installer.want(desiredOf(3));
  t.match(await ended(desiredOf(2).rolloutId), { state: 'rejected', reason: /wanted before this one began/ });
  release();
  t.equal((await ended(desiredOf(3).rolloutId)).state, 'succeeded');
  t.equal(store.record.installed?.number, 3);
});

t.test('the record is refused when it was changed by hand', async (t) => {
  const path = join(await tempFolder(t), 'install.json');
  await writeFile(path, '{"installed": 5}');
  await t.rejects(openInstallStore(path), coded('STATE_CONFLICT', 'install.json'));
});

t.test('a signed manifest', (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const other = generateKeyPairSync('ed25519');
  const spki = (key: typeof publicKey) => key.export({ type: 'spki', format: 'der' }).toString('base64');
  const signed = (text: string, key = privateKey) =>
    JSON.stringify({
      keyId: 'a'.repeat(64),
      manifest: text,
      signature: sign(null, Buffer.from(text), key).toString('base64'),
    });
  const text = JSON.stringify(manifestOf(1, { name: 'ünïcode' }));
  t.same(verifyManifest(signed(text), spki(publicKey)), manifestOf(1, { name: 'ünïcode' }));
  t.throws(
    () => verifyManifest(signed(text, other.privateKey), spki(publicKey)),
    coded('SIGNATURE_INVALID', 'pinned'),
  );
  const changed = signed(text).replace('release', 'rolease').replace('"number\\":1', '"number\\":2');
  t.throws(() => verifyManifest(changed, spki(publicKey)), coded('SIGNATURE_INVALID'));
  t.throws(() => verifyManifest(text, spki(publicKey)), coded('MESSAGE_MALFORMED', 'signed manifest'));
  t.throws(() => verifyManifest('{', spki(publicKey)), coded('MESSAGE_MALFORMED', 'not JSON'));
  // Signed well, but not a manifest that this version reads.
  t.throws(
    () => verifyManifest(signed('{"version":2}'), spki(publicKey)),
    coded('MESSAGE_MALFORMED', 'release manifest'),
  );
  t.end();
});

t.test('health: exactly the expected ids count', async (t) => {
  const golden = [
    { text: 'a', promptIds: [1], expectedIds: [5, 6] },
    { text: 'b', promptIds: [2], expectedIds: [7] },
    { text: 'c', promptIds: [3], expectedIds: [] },
  ];
  const asked: number[] = [];
  const model = (answers: Record<number, number[]>) => ({
    continueGreedily: async (ids: readonly number[], maxTokens: number) => {
      asked.push(maxTokens);
      return answers[ids[0] as number] ?? [];
    },
  });
  t.match(await proveHealth(model({ 1: [5, 6], 2: [7] }), golden), {
    healthy: 3,
    checked: 3,
    firstFault: null,
  });
  t.same(asked, [2, 1], 'as many tokens as are expected');
  t.match(await proveHealth(model({ 1: [5], 2: [8] }), golden), {
    healthy: 1,
    firstFault: /"a" .*\[5\], wanted \[5 6\]/,
  });
});
