import {
  clockRangeHolds,
  createServingCalm,
  judgePolicies,
  type Readings,
  worthTelling,
} from '@fleetlora/agent/policy';
import {
  type Conditions,
  type DevicePolicy,
  describePolicy,
  describeReadings,
  explainConditions,
  explainReason,
  type PolicySet,
  PolicySet as PolicySetSchema,
  parseAs,
} from '@fleetlora/shared/protocol';
import t from 'tap';

const at = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
const all: Readings = {
  onMains: null,
  temperatureC: null,
  metered: null,
  localTime: { minuteOfDay: at('14:10'), isSet: true },
  requestsInFlight: 0,
  quietSeconds: null,
};
const ofClass = (policy: DevicePolicy, name = 'pi5'): PolicySet => ({
  scope: { kind: 'class', name },
  policy,
});
const reasons = (policy: DevicePolicy, readings: Partial<Readings> = {}) =>
  judgePolicies([ofClass(policy)], { ...all, ...readings }).reasons;

for (const [range, inside, outside] of [
  ['09:00-17:30', ['09:00', '12:00', '17:29'], ['08:59', '17:30', '00:00']],
  ['22:00-06:00', ['22:00', '23:59', '00:00', '05:59'], ['21:59', '06:00', '14:10']],
  ['00:00-00:01', ['00:00'], ['00:01', '23:59']],
  ['23:59-00:00', ['23:59'], ['00:00', '23:58']],
  ['13:00-13:00', ['00:00', '12:59', '13:00', '23:59'], []],
] as const)
  t.test(`hours ${range}: the first minute is inside, the last is not`, async (t) => {
    for (const time of inside) t.equal(clockRangeHolds(range, at(time)), true, time);
    for (const time of outside) t.equal(clockRangeHolds(range, at(time)), false, time);
  });

t.test('no policy forbids nothing, whatever is sensed', async (t) => {
  const bad = { onMains: false, temperatureC: 99, metered: true, requestsInFlight: 1, quietSeconds: 0 };
  t.same(judgePolicies([], { ...all, ...bad }).reasons, []);
});

t.test('what cannot be sensed holds', async (t) => {
  t.same(reasons({ mainsPower: true, maxTemperatureC: 20, unmetered: true, quietSeconds: 86_400 }), []);
});

t.test('one of several ranges is enough; a clock that was never set is in none', async (t) => {
  t.same(reasons({ hours: ['22:00-06:00', '14:00-15:00'] }), []);
  t.same(reasons({ hours: ['22:00-06:00', '12:00-14:10'] }), [
    'policy of class pi5: outside 22:00-06:00, 12:00-14:10',
  ]);
  t.match(reasons({ hours: ['00:00-00:00'] }, { localTime: { minuteOfDay: 0, isSet: false } }), [
    /^policy of class pi5: its clock was never set/,
  ]);
});

t.test('power and network', async (t) => {
  t.same(reasons({ mainsPower: true }, { onMains: true }), []);
  t.same(reasons({ mainsPower: true }, { onMains: false }), ['policy of class pi5: not on mains power']);
  t.same(reasons({ unmetered: true }, { metered: false }), []);
  t.same(reasons({ unmetered: true }, { metered: true }), ['policy of class pi5: on a metered network']);
});

t.test('quiet for 60 s: 59.9 s are too few, 60 s enough, a request under way never', async (t) => {
  const policy = { quietSeconds: 60 };
  t.same(reasons(policy, { quietSeconds: 59.9 }), [
    'policy of class pi5: it served a request less than 60 s ago',
  ]);
  t.same(reasons(policy, { quietSeconds: 60 }), []);
  t.equal(reasons(policy, { quietSeconds: 1000, requestsInFlight: 1 }).length, 1);
  t.same(reasons({ quietSeconds: 0 }, { quietSeconds: 0 }), []);
  t.same(reasons({ quietSeconds: 0 }, { requestsInFlight: 1 }), [
    'policy of class pi5: it is serving a request',
  ]);
});

t.test('at most 70 °C: 70.0 may, 70.1 may not, and then 68.1 may not yet, 68.0 may', async (t) => {
  const policies = [ofClass({ maxTemperatureC: 70 })];
  let tooHot: ReadonlySet<string> = new Set();
  for (const [temperatureC, may] of [
    [68.1, true],
    [70, true],
    [70.1, false],
    [69, false],
    [68.1, false],
    [68, true],
    [70, true],
    [70.1, false],
  ] as const) {
    const judgement = judgePolicies(policies, { ...all, temperatureC }, tooHot);
    t.equal(judgement.reasons.length === 0, may, `${temperatureC} °C`);
    tooHot = judgement.tooHot;
  }
  const raised = judgePolicies([ofClass({ maxTemperatureC: 80 })], { ...all, temperatureC: 79 }, tooHot);
  t.same(raised.reasons, [], 'another limit starts anew');
});

t.test('all policies must hold, and each reason names its own', async (t) => {
  const policies: PolicySet[] = [
    ofClass({ hours: ['22:00-06:00'], mainsPower: true }),
    { scope: { kind: 'label', name: 'office' }, policy: { maxTemperatureC: 40 } },
    { scope: { kind: 'label', name: 'lab' }, policy: { mainsPower: true } },
  ];
  const readings = { ...all, onMains: false, temperatureC: 41.26 };
  t.same(judgePolicies(policies, readings).reasons, [
    'policy of class pi5: outside 22:00-06:00',
    'policy of class pi5: not on mains power',
    'policy of label office: above 40 °C',
    'policy of label lab: not on mains power',
  ]);
});

const told: Conditions = {
  mayMeasure: true,
  reasons: [],
  onMains: true,
  temperatureC: 50,
  metered: null,
  localTime: '14:10',
};
for (const [what, change, passedMs, wanted] of [
  ['nothing', {}, 1000, false],
  ['an hour, and nothing but the time', { localTime: '15:10' }, 3_600_000, false],
  ['midnight', { localTime: '00:10' }, 10 * 3_600_000, false],
  ['the permission', { mayMeasure: false }, 0, true],
  ['the reasons', { reasons: ['policy of class a: not on mains power'] }, 0, true],
  ['the plug', { onMains: false }, 0, true],
  ['the network', { metered: true }, 0, true],
  ['the thermometer', { temperatureC: null }, 0, true],
  ['4.9 °C after a minute', { temperatureC: 54.9, localTime: '14:11' }, 60_000, false],
  ['5 °C after a minute', { temperatureC: 55, localTime: '14:11' }, 60_000, true],
  ['5 °C after 59 s', { temperatureC: 55, localTime: '14:11' }, 59_000, false],
  ['a clock set one minute on', { localTime: '14:11' }, 0, false],
  ['a clock set two minutes on', { localTime: '14:12' }, 0, true],
  ['a clock set an hour back', { localTime: '13:10' }, 0, true],
] as const)
  t.test(`a change of ${what} is ${wanted ? '' : 'not '}told`, async (t) => {
    t.equal(
      worthTelling(told, { ...told, ...change, reasons: [...(change.reasons ?? [])] }, passedMs),
      wanted,
    );
  });

t.test('after a request a device is left alone for 5 s, then 10 s … at most 300 s', async (t) => {
  const calm = createServingCalm();
  t.equal(calm.waitingForSeconds({ requestsInFlight: 1, quietSeconds: null }), null, 'nothing was disturbed');
  for (const seconds of [5, 10, 20, 40, 80, 160, 300, 300]) {
    calm.disturbed();
    calm.disturbed();
    t.equal(calm.waitingForSeconds({ requestsInFlight: 1, quietSeconds: null }), seconds, 'under way');
    t.equal(calm.waitingForSeconds({ requestsInFlight: 0, quietSeconds: seconds - 0.1 }), seconds);
    t.equal(calm.waitingForSeconds({ requestsInFlight: 0, quietSeconds: seconds }), null);
  }
  calm.finished();
  calm.disturbed();
  t.equal(calm.waitingForSeconds({ requestsInFlight: 1, quietSeconds: null }), 5, 'one was finished');
});

t.test('in words', async (t) => {
  const policy = { hours: ['22:00-06:00', '12:00-13:00'], mainsPower: true, unmetered: true } as const;
  t.equal(
    describePolicy({ ...policy, hours: [...policy.hours], maxTemperatureC: 70, quietSeconds: 60 }),
    '22:00-06:00 or 12:00-13:00, mains power, at most 70 °C, unmetered network, 1 min of quiet',
  );
  t.equal(describePolicy({}), 'at any time');
  for (const [quietSeconds, quiet] of [
    [0, 'no request under way'],
    [59, '59 s of quiet'],
    [60, '1 min of quiet'],
    [90, '90 s of quiet'],
    [3540, '59 min of quiet'],
    [7200, '2 h of quiet'],
  ] as const)
    t.equal(describePolicy({ quietSeconds }), quiet);
  t.equal(describeReadings(told), '14:10, 50.0 °C, on mains power');
  t.equal(
    describeReadings({ localTime: '00:05', onMains: false, metered: true, temperatureC: null }),
    '00:05, on battery, metered network',
  );
  const [hours = '', hot = '', other = ''] = [
    'policy of class pi5: outside 22:00-06:00',
    'policy of label office: above 40.5 °C',
    'it serves requests; waits for 5 s without one',
  ];
  t.equal(explainReason(hours, told), `${hours}, now 14:10 there`);
  t.equal(explainReason(hot, told), `${hot}, 50.0 °C when it last told`);
  t.equal(explainReason(hot, { ...told, temperatureC: null }), hot);
  t.equal(explainReason(other, told), other);
  t.equal(explainConditions(told), null);
  t.equal(
    explainConditions({ ...told, mayMeasure: false, reasons: [hours, other] }),
    `${hours}, now 14:10 there; ${other}`,
  );
});

for (const [hours, fits] of [
  ['22:00-06:00', true],
  ['23:59-00:00', true],
  ['24:00-06:00', false],
  ['22:60-06:00', false],
  ['2:00-06:00', false],
  ['22:00 - 06:00', false],
] as const)
  t.test(`hours "${hours}" ${fits ? 'fit' : 'do not fit'} the schema`, async (t) => {
    const parse = () => parseAs(PolicySetSchema, ofClass({ hours: [hours] }), 'policy');
    if (fits) t.doesNotThrow(parse);
    else t.throws(parse, { code: 'MESSAGE_MALFORMED' });
  });
