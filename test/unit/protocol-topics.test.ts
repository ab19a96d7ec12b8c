import {
  downFilter,
  downKinds,
  downTopic,
  isDeviceId,
  parseTopic,
  upKinds,
  upTopic,
} from '@fleetlora/shared/protocol';
import t from 'tap';

const id = 'dev_01h0000000';

t.test('topics are fleetlora/v1/<device>/up|down/<kind>, and parse back', async (t) => {
  t.equal(upTopic(id, 'birth'), 'fleetlora/v1/dev_01h0000000/up/birth');
  t.equal(downFilter(id), 'fleetlora/v1/dev_01h0000000/down/+');
  for (const kind of upKinds) t.same(parseTopic(upTopic(id, kind)), { deviceId: id, direction: 'up', kind });
  for (const kind of downKinds)
    t.same(parseTopic(downTopic(id, kind)), { deviceId: id, direction: 'down', kind });
});

t.test('anything else is not ours', async (t) => {
  for (const topic of [
    '',
    'fleetlora',
    'fleetlora/v1',
    `fleetlora/v1/${id}`,
    `fleetlora/v1/${id}/up`,
    `fleetlora/v1/${id}/up/`,
    `fleetlora/v1/${id}/up/birth/`,
    `fleetlora/v1/${id}/up/birth/x`,
    `/fleetlora/v1/${id}/up/birth`,
    `fleetlora/v2/${id}/up/birth`,
    `Fleetlora/v1/${id}/up/birth`,
    `fleetlora/v1//up/birth`,
    `fleetlora/v1/+/up/birth`,
    `fleetlora/v1/#`,
    `fleetlora/v1/${id}/+/birth`,
    `fleetlora/v1/${id}/up/+`,
    `fleetlora/v1/${id}/up/job`,
    `fleetlora/v1/${id}/down/birth`,
    `fleetlora/v1/${id}/up/toString`,
    `fleetlora/v1/${id}/side/birth`,
    '$SYS/broker/uptime',
  ])
    t.equal(parseTopic(topic), null, topic);
});

t.test('device ids: dev_ and 10 to 40 small letters and digits', async (t) => {
  for (const length of [10, 40]) t.ok(isDeviceId(`dev_${'0'.repeat(length)}`));
  for (const length of [0, 9, 41]) t.notOk(isDeviceId(`dev_${'0'.repeat(length)}`));
  for (const wrong of [
    'DEV_0123456789',
    'dev_012345678A',
    'dev_01234567+9',
    'dev_01234567/9',
    'usr_0123456789',
    ' dev_0123456789',
    'dev_0123456789\n',
  ])
    t.notOk(isDeviceId(wrong), JSON.stringify(wrong));
});
