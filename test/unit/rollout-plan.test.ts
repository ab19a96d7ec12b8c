import {
  applyReport,
  isFinal,
  planRollouts,
  type RolloutContext,
  type RolloutWithDevices,
  type StoredRolloutDevice,
} from '@fleetlora/coordinator/rollout';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';

const device = (deviceId: string, change: Partial<StoredRolloutDevice> = {}): StoredRolloutDevice => ({
  rolloutId: 'roll_0000000001',
  deviceId,
  name: deviceId,
  state: 'waiting',
  reason: null,
  healthy: null,
  checked: null,
  updatedAtMs: 0,
  sentAtMs: null,
  ...change,
});
const rollout = (devices: StoredRolloutDevice[], id = 'roll_0000000001'): RolloutWithDevices => ({
  id,
  releaseId: 'rel_0000000001',
  state: 'running',
  manifestDigest: 'a'.repeat(64),
  createdAtMs: 0,
  devices,
});
const at = (nowMs: number, ...online: string[]): RolloutContext => ({
  online: new Set(online),
  nowMs,
  silenceMs: 1000,
});

t.test('online devices are sent what is owed, offline ones stay owed', async (t) => {
  const steps = planRollouts([rollout([device('a'), device('b')])], at(1e9, 'a'));
  t.same(steps, [{ kind: 'send', rolloutId: 'roll_0000000001', deviceId: 'a' }]);
});

t.test('silence of 1,000 ms is allowed, 1,001 ms are not; offline silence is', async (t) => {
  const sent = rollout([device('a', { sentAtMs: 500 })]);
  t.same(planRollouts([sent], at(1500, 'a')), []);
  t.match(planRollouts([sent], at(1501, 'a')), [
    {
      kind: 'fail',
      deviceId: 'a',
      reason: /online but silent for 1 s in state waiting, at most 1 s are allowed/,
    },
  ]);
  t.same(planRollouts([sent], at(1e9)), []);
  const reported = rollout([device('a', { sentAtMs: 500, updatedAtMs: 1400, state: 'fetching' })]);
  t.same(planRollouts([reported], at(2400, 'a')), [], 'counted from the last report');
  t.equal(planRollouts([reported], at(2401, 'a'))[0]?.kind, 'fail');
});

t.test('a rollout ends with its last device, as succeeded only when all did', async (t) => {
  const ended = (...states: StoredRolloutDevice['state'][]) =>
    planRollouts([rollout(states.map((state, index) => device(`${index}`, { state })))], at(0));
  t.same(ended('succeeded', 'succeeded'), [
    { kind: 'finish', rolloutId: 'roll_0000000001', state: 'succeeded' },
  ]);
  t.match(ended('succeeded', 'failed'), [{ kind: 'finish', state: 'failed' }]);
  t.match(ended('rejected'), [{ kind: 'finish', state: 'failed' }]);
  t.same(ended('succeeded', 'proving'), []);
});

t.test('a newer rollout supersedes an older one on the devices they share', async (t) => {
  const older = rollout([device('a'), device('b')]);
  const newer = rollout([device('b')], 'roll_0000000002');
  t.same(planRollouts([older, newer], at(0, 'a', 'b')), [
    { kind: 'send', rolloutId: 'roll_0000000001', deviceId: 'a' },
    {
      kind: 'fail',
      rolloutId: 'roll_0000000001',
      deviceId: 'b',
      reason: 'superseded by rollout roll_0000000002',
    },
    { kind: 'send', rolloutId: 'roll_0000000002', deviceId: 'b' },
  ]);
});

t.test('reports move a device forwards only, and never out of a final state', async (t) => {
  const report = (state: 'fetching' | 'loading' | 'succeeded' | 'failed', more = {}) => ({
    rolloutId: 'roll_0000000001',
    releaseId: 'rel_0000000001',
    state,
    ...more,
  });
  const loading = device('a', { state: 'loading', sentAtMs: 10, updatedAtMs: 20 });
  t.equal(applyReport(loading, report('fetching'), 30), null, 'delivered late');
  t.match(
    applyReport(loading, report('loading'), 30),
    { state: 'loading', updatedAtMs: 30 },
    'a sign of life',
  );
  t.match(applyReport(loading, report('succeeded', { healthy: 4, checked: 4 }), 30), {
    state: 'succeeded',
    healthy: 4,
    checked: 4,
    reason: null,
  });
  t.match(applyReport(loading, report('failed', { reason: 'digest' }), 30), {
    state: 'failed',
    reason: 'digest',
  });
  t.match(
    applyReport({ ...loading, sentAtMs: 25 }, report('fetching'), 30),
    { state: 'fetching' },
    'sent anew',
  );
  for (const state of ['succeeded', 'failed', 'rejected'] as const)
    t.equal(applyReport({ ...loading, state }, report('failed'), 30), null);
});

t.test('1,000 random worlds: steps only for what is open, performing them comes to rest', async (t) => {
  const random = createRandom(11);
  const states = ['waiting', 'fetching', 'loading', 'succeeded', 'failed', 'rejected'] as const;
  let failures = 0;
  for (let world = 0; world < 1000; world++) {
    let rollouts = Array.from({ length: 1 + random.below(3) }, (_, index) =>
      rollout(
        ['a', 'b', 'c', 'd']
          .filter(() => random.next() < 0.7)
          .map((id) =>
            device(id, {
              state: random.pick(states),
              sentAtMs: random.next() < 0.5 ? null : random.below(3000),
              updatedAtMs: random.below(3000),
            }),
          ),
        `roll_000000000${index}`,
      ),
    );
    const context = at(3000, ...['a', 'b', 'c', 'd'].filter(() => random.next() < 0.6));
    for (let round = 0; ; round++) {
      const steps = planRollouts(rollouts, context);
      if (steps.length === 0) break;
      const keys = steps.map((step) => JSON.stringify(step));
      const targets = steps.flatMap((step) => (step.kind === 'send' ? [step.deviceId] : []));
      const sound =
        round < 4 &&
        new Set(keys).size === keys.length &&
        new Set(targets).size === targets.length &&
        targets.every((id) => context.online.has(id));
      if (!sound) failures++;
      if (round >= 4) break;
      rollouts = rollouts.flatMap((one) => {
        const mine = steps.filter(({ rolloutId }) => rolloutId === one.id);
        if (mine.some(({ kind }) => kind === 'finish')) return [];
        const devices = one.devices.map((row) => {
          const step = mine.find(
            (candidate) => candidate.kind !== 'finish' && candidate.deviceId === row.deviceId,
          );
          if (step && isFinal(row.state)) failures++;
          if (step?.kind === 'send') return { ...row, sentAtMs: context.nowMs };
          return step ? { ...row, state: 'failed' as const } : row;
        });
        return [{ ...one, devices }];
      });
    }
  }
  t.equal(failures, 0);
});
