import {
  createRollouts,
  type Rollouts,
  type RolloutWithDevices,
  type StoredRolloutDevice,
} from '@fleetlora/coordinator/rollout';
import { CodedError } from '@fleetlora/shared/errors';
import type { Desired, Release, RolloutReport } from '@fleetlora/shared/protocol';
import t from 'tap';

const release = { id: 'rel_0000000001', name: 'first', manifestDigest: 'e'.repeat(64) } as Release;

class Fleet {
  readonly devices = new Map<string, { name: string; deviceClass: string; online: boolean }>();
  readonly sent: { deviceId: string; desired: Desired }[] = [];
  readonly rows: RolloutWithDevices[] = [];
  nowMs = 1000;
  report: (deviceId: string, report: RolloutReport) => Promise<void> = async () => {};
  bear: (deviceId: string) => void = () => {};
  /** Set to lose the next messages on their way. */
  sendFails = false;
  /** 0: only events and `check` look for silent devices. */
  checkEveryMs = 0;

  constructor(...names: string[]) {
    for (const name of names) this.devices.set(`dev_${name}`, { name, deviceClass: 'board', online: true });
  }
  targets() {
    return [...this.devices].map(([id, { name, online }]) => ({ id, name, online }));
  }
  device(id: string) {
    return this.devices.get(id) as { name: string; deviceClass: string; online: boolean };
  }
  open(): Rollouts {
    let ids = this.rows.length;
    const place = (id: string): number => this.rows.findIndex((row) => row.id === id);
    return createRollouts({
      clock: { nowMs: () => this.nowMs, monotonicMs: () => 0 },
      newId: (prefix) => `${prefix}_${String(++ids).padStart(10, '0')}`,
      silenceMs: 1000,
      checkEveryMs: this.checkEveryMs,
      releases: {
        findRelease: async (key) => {
          if (key !== release.id && key !== release.name)
            throw new CodedError('NOT_FOUND', `there is no release "${key}"`);
          return release;
        },
      },
      repository: {
        insertRollout: async (rollout, devices) => void this.rows.push({ ...rollout, devices: [...devices] }),
        updateRollout: async (id, state) => {
          this.rows[place(id)] = { ...(this.rows[place(id)] as RolloutWithDevices), state };
        },
        updateRolloutDevice: async (id, deviceId, change) => {
          const row = this.rows[place(id)] as RolloutWithDevices;
          const devices = row.devices.map(
            (one): StoredRolloutDevice => (one.deviceId === deviceId ? { ...one, ...change } : one),
          );
          this.rows[place(id)] = { ...row, devices };
        },
        findRollout: async (id) => this.rows[place(id)] ?? null,
        listRollouts: async () => [...this.rows].reverse(),
        listRunningRollouts: async () => this.rows.filter(({ state }) => state === 'running'),
      },
      fleet: {
        listTargets: async (deviceClass) =>
          this.targets().filter(
            ({ id }) => deviceClass === undefined || this.device(id).deviceClass === deviceClass,
          ),
        findTarget: async (key) => {
          const found = this.targets().find(({ id, name }) => id === key || name === key);
          if (!found) throw new CodedError('NOT_FOUND', `there is no device "${key}"`);
          return found;
        },
        sendDesired: async (deviceId, desired) => {
          if (!this.device(deviceId).online || this.sendFails)
            throw new CodedError('DEVICE_OFFLINE', `${deviceId} is offline`);
          this.sent.push({ deviceId, desired });
        },
        onReport: (handler) => {
          this.report = handler;
          return () => {};
        },
        onBirth: (listener) => {
          this.bear = listener;
          return () => {};
        },
      },
    });
  }
}
const reportOf = (
  rolloutId: string,
  state: RolloutReport['state'],
  more: Partial<RolloutReport> = {},
): RolloutReport => ({
  rolloutId,
  releaseId: release.id,
  state,
  ...more,
});

t.test('a rollout to two devices: one online, one that comes later', async (t) => {
  const fleet = new Fleet('a', 'b');
  fleet.device('dev_b').online = false;
  const rollouts = fleet.open();
  const { id, state, devices } = await rollouts.start({ release: 'first', deviceClass: 'board' });
  t.equal(state, 'running');
  t.same(
    devices.map(({ deviceId, state }) => [deviceId, state]),
    [
      ['dev_a', 'waiting'],
      ['dev_b', 'waiting'],
    ],
  );
  const desired = { rolloutId: id, releaseId: release.id, manifestDigest: release.manifestDigest };
  t.same(fleet.sent, [{ deviceId: 'dev_a', desired }]);

  for (const step of ['fetching', 'verifying', 'loading', 'proving', 'fetching', 'proving'] as const)
    await fleet.report('dev_a', reportOf(id, step));
  await fleet.report('dev_a', reportOf(id, 'succeeded', { healthy: 3, checked: 3 }));
  await fleet.report('dev_a', reportOf(id, 'succeeded', { healthy: 3, checked: 3 }));
  t.match(await rollouts.show(id), {
    state: 'running',
    devices: [{ state: 'succeeded', healthy: 3, checked: 3 }, { state: 'waiting' }],
  });

  fleet.nowMs += 1e9;
  await rollouts.check();
  t.equal((await rollouts.show(id)).state, 'running', 'an offline device has all the time');
  fleet.device('dev_b').online = true;
  fleet.bear('dev_b');
  await rollouts.check();
  await rollouts.check();
  t.same(
    fleet.sent.map(({ deviceId }) => deviceId),
    ['dev_a', 'dev_b'],
  );
  await fleet.report('dev_b', reportOf(id, 'succeeded'));
  await rollouts.check();
  t.equal((await rollouts.show(id)).state, 'succeeded');
  await rollouts.close();
});

t.test('a device that went away while it installed is told again at its next birth', async (t) => {
  const fleet = new Fleet('a');
  const rollouts = fleet.open();
  const { id } = await rollouts.start({ release: release.id, devices: ['a'] });
  await fleet.report('dev_a', reportOf(id, 'loading'));
  fleet.bear('dev_a');
  await rollouts.check();
  await rollouts.check();
  t.equal(fleet.sent.length, 2);
  fleet.nowMs += 1;
  await fleet.report(
    'dev_a',
    reportOf(id, 'failed', { reason: 'golden prompt 2 differs', healthy: 1, checked: 2 }),
  );
  await rollouts.check();
  t.match(await rollouts.show(id), {
    state: 'failed',
    devices: [{ state: 'failed', reason: 'golden prompt 2 differs', healthy: 1, checked: 2 }],
  });
  await rollouts.close();
});

t.test('an online device that stays silent fails after the limit, not at it', async (t) => {
  const fleet = new Fleet('a');
  const rollouts = fleet.open();
  const { id } = await rollouts.start({ release: 'first', devices: ['a'] });
  fleet.nowMs += 1000;
  await rollouts.check();
  t.equal((await rollouts.show(id)).state, 'running');
  fleet.nowMs += 1;
  await rollouts.check();
  t.match(await rollouts.show(id), {
    state: 'failed',
    devices: [{ state: 'failed', reason: /silent for 1 s/ }],
  });
  await rollouts.close();
});

t.test('silence counts while it was looked for: 501 ms without a look, and it counts anew', async (t) => {
  const fleet = new Fleet('a');
  // So long that the timer never fires in here.
  fleet.checkEveryMs = 2 ** 30;
  const rollouts = fleet.open();
  const { id } = await rollouts.start({ release: 'first', devices: ['a'] });
  await fleet.report('dev_a', reportOf(id, 'loading'));
  fleet.nowMs += 5000;
  await rollouts.check();
  t.equal((await rollouts.show(id)).state, 'running', 'as after an hour without the database');
  t.equal(fleet.sent.length, 2, 'told again, since it may have missed what it was told');
  for (const look of [500, 500]) {
    fleet.nowMs += look;
    await rollouts.check();
  }
  t.equal((await rollouts.show(id)).state, 'running');
  fleet.nowMs += 1;
  await rollouts.check();
  t.equal((await rollouts.show(id)).state, 'failed');
  await rollouts.close();
});

t.test('a message that could not be sent stays owed', async (t) => {
  const fleet = new Fleet('a');
  fleet.sendFails = true;
  const rollouts = fleet.open();
  await rollouts.start({ release: 'first', devices: ['a'] });
  t.equal(fleet.sent.length, 0);
  fleet.sendFails = false;
  await rollouts.check();
  t.equal(fleet.sent.length, 1);
  await rollouts.close();
});

t.test('after a restart devices are told again and the rollout goes on', async (t) => {
  const fleet = new Fleet('a', 'b');
  const first = fleet.open();
  const { id } = await first.start({ release: 'first', devices: ['a', 'b'] });
  await fleet.report('dev_a', reportOf(id, 'succeeded'));
  await first.close();
  const second = fleet.open();
  await second.resume();
  t.same(
    fleet.sent.map(({ deviceId }) => deviceId),
    ['dev_a', 'dev_b', 'dev_b'],
  );
  await fleet.report('dev_b', reportOf(id, 'succeeded'));
  await second.check();
  t.equal((await second.list())[0]?.state, 'succeeded');
  await second.close();
});

t.test('reports of unknown rollouts, devices and releases change nothing', async (t) => {
  const fleet = new Fleet('a', 'b');
  const rollouts = fleet.open();
  const { id } = await rollouts.start({ release: 'first', devices: ['a'] });
  await fleet.report('dev_a', reportOf('roll_9999999999', 'succeeded'));
  await fleet.report('dev_b', reportOf(id, 'succeeded'));
  await fleet.report('dev_a', { ...reportOf(id, 'succeeded'), releaseId: 'rel_9999999999' });
  t.match(await rollouts.show(id), { state: 'running', devices: [{ state: 'waiting' }] });
  await rollouts.close();
});

t.test('start refuses what does not exist', async (t) => {
  const rollouts = new Fleet('a').open();
  await t.rejects(rollouts.start({ release: 'second', devices: ['a'] }), {
    code: 'NOT_FOUND',
    message: /second/,
  });
  await t.rejects(rollouts.start({ release: 'first', devices: ['x'] }), {
    code: 'NOT_FOUND',
    message: /"x"/,
  });
  await t.rejects(rollouts.start({ release: 'first', deviceClass: 'phone' }), {
    code: 'BAD_REQUEST',
    message: /"phone" has no device/,
  });
  await t.rejects(rollouts.start({ release: 'first' }), {
    code: 'BAD_REQUEST',
    message: /at least one device/,
  });
  await t.rejects(rollouts.show('roll_0000000001'), { code: 'NOT_FOUND' });
  await rollouts.close();
});
