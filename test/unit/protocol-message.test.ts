import { CodedError } from '@fleetlora/shared/errors';
import {
  bodies,
  decodeMessage,
  defaultMeasurePlan,
  downKinds,
  encodeMessage,
  limits,
  MeasurePlan,
  type MessageBody,
  type MessageKind,
  messageCeiling,
  parseAs,
  upKinds,
} from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';

const digest = 'ab'.repeat(32);
const jobId = 'job_01h0000000000000000000000';
const facts = {
  agentVersion: '0.1.0',
  hostname: 'board-1',
  os: 'linux',
  arch: 'arm64',
  cpuModel: 'Cortex-A76',
  cores: 4,
  memoryBytes: 4e9,
  runtime: 'onnxruntime-node 1.30.0',
  provider: 'cpu',
  bootId: '',
};
const timing = { p50Ms: 1.5, p90Ms: 2, n: 3, samplesMs: [1, 1.5, 2] };
const measurement = {
  plan: defaultMeasurePlan,
  runtime: 'r',
  provider: 'cpu',
  coldLoadMs: 90,
  warmLoadMs: 40,
  prefill: timing,
  decode: timing,
  baselineBytes: 4e7,
  peakBytes: 9e7,
  anonymousBytes: 5e7,
  shippedBytes: 123,
};
const job = {
  jobId,
  genome: encodeGenome(uniformGenome(32, 32, 11008)),
  baseDigest: digest,
  adapterDigest: digest,
  plan: defaultMeasurePlan,
  timeoutMs: 600_000,
};
const machine = {
  temperatureStartC: 41.5,
  temperatureEndC: null,
  throttled: false,
  onMains: true,
  governor: 'schedutil',
  otherCores: 0.02,
  waitedMs: { cooling: 0, quiet: 120.5, serving: 0 },
  retakenSessions: 1,
};
const conditions = {
  mayMeasure: true,
  reasons: [],
  onMains: null,
  temperatureC: null,
  metered: false,
  localTime: '09:30',
};
const samples: { [K in MessageKind]: MessageBody<K>[] } = {
  progress: [
    { jobId, step: 'timing', done: 2, of: 5 },
    { jobId, step: 'cooling' },
  ],
  birth: [
    { facts, heldJobIds: [], installedReleaseId: null, serveUrl: null },
    { facts, heldJobIds: [jobId], installedReleaseId: 'rel_0123456789', serveUrl: 'http://127.0.0.1:8080' },
  ],
  death: [{}],
  result: [
    { jobId, outcome: 'measured', measurement },
    { jobId, outcome: 'measured', measurement: { ...measurement, memoryMethod: 'polledRss' } },
    {
      jobId,
      outcome: 'qualified',
      qualification: {
        accepted: true,
        spreadPercent: 2.1,
        limitPercent: 5,
        runs: [{ prefillMs: 40, decodeMs: 3 }],
        standard: 'standard-1',
        threads: 1,
        agentVersion: '0.3.0',
        runtime: 'onnxruntime-node 1.30.0',
        provider: 'cpu',
        cpuModel: 'Cortex-A76',
        machine,
        flags: ['onBattery'],
      },
    },
    { jobId, outcome: 'infeasible', reason: 'child was killed' },
  ],
  report: [
    { rolloutId: 'rol_0123456789', releaseId: 'rel_0123456789', state: 'fetching', downloadedBytes: 5 },
    {
      rolloutId: 'rol_0123456789',
      releaseId: 'rel_0123456789',
      state: 'failed',
      reason: 'x',
      healthy: 1,
      checked: 3,
    },
  ],
  job: [
    job,
    { ...job, others: Array.from({ length: limits.batch - 1 }, () => job.genome) },
    { jobId, kind: 'qualify', runs: 5, pauseMs: 2000, timeoutMs: 600_000 },
  ],
  cancel: [{ jobId }],
  ack: [{ ids: [] }, { ids: ['a', 'b'] }],
  conditions: [conditions, { ...conditions, mayMeasure: false, reasons: ['too warm'], temperatureC: 71.5 }],
  policy: [
    { policies: [] },
    { policies: [{ scope: { kind: 'class', name: 'pi5' }, policy: { hours: ['22:00-06:00'] } }] },
  ],
  desired: [{ rolloutId: 'rol_0123456789', releaseId: 'rel_0123456789', manifestDigest: digest }],
};
const kinds = Object.keys(bodies) as MessageKind[];
const encode = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const decode = (kind: MessageKind, value: unknown) => () => decodeMessage(kind, encode(value));
const ack = (change: Record<string, unknown> = {}) => ({
  v: 1,
  id: 'm1',
  session: 1,
  body: { ids: [] },
  ...change,
});

t.test('every kind is either up or down and has samples here', async (t) => {
  t.same([...kinds].sort(), [...upKinds, ...downKinds].sort());
  t.same(Object.keys(samples).sort(), [...kinds].sort());
});

for (const kind of kinds) {
  t.test(`${kind}: what is encoded is decoded; an unknown field is refused`, async (t) => {
    for (const body of samples[kind]) {
      const message = { id: 'm'.repeat(40), session: 2 ** 53 - 1, body };
      const text = encodeMessage(kind, message);
      t.strictSame(decodeMessage(kind, encode(text)), { v: 1, ...message });
      const more = { v: 1, ...message, body: { ...body, extra: 1 } };
      t.throws(decode(kind, more), coded('MESSAGE_MALFORMED', kind, '/body/extra is not a known field'));
    }
  });
}

t.test('what is no message: broken JSON, bytes that are no UTF-8, a value without a version', async (t) => {
  for (const text of ['', '{', 'nonsense', '{"v":1', '{"v":1}}'])
    t.throws(decode('ack', text), coded('MESSAGE_MALFORMED', 'ack', 'not JSON'));
  t.throws(
    () => decodeMessage('ack', Uint8Array.of(0x22, 0xff, 0xfe, 0x22)),
    coded('MESSAGE_MALFORMED', 'not JSON'),
  );
  for (const value of [null, 7, [], {}, 'text'])
    t.throws(decode('ack', JSON.stringify(value)), coded('MESSAGE_VERSION', 'undefined', 'wanted 1'));
});

t.test('another version is named, and nothing else of the message is looked at', async (t) => {
  t.throws(
    decode('ack', { ...ack(), v: 2, body: 'anything' }),
    coded('MESSAGE_VERSION', 'ack', 'version 2', 'wanted 1'),
  );
  t.throws(decode('ack', { ...ack(), v: '1' }), coded('MESSAGE_VERSION', '"1"'));
  t.throws(decode('ack', { ...ack(), v: 'x'.repeat(1000) }), { message: /^.{1,120}$/s });
});

t.test('the envelope: id of 1 to 40 characters, session from 0 to 2^53 - 1, nothing more', async (t) => {
  for (const good of [{ id: 'a' }, { id: 'a'.repeat(40) }, { session: 0 }, { session: 2 ** 53 - 1 }])
    decode('ack', ack(good))();
  for (const [wrong, place] of [
    [{ id: '' }, '/id'],
    [{ id: 'a'.repeat(41) }, '/id'],
    [{ id: 7 }, '/id'],
    [{ session: -1 }, '/session'],
    [{ session: 1.5 }, '/session'],
    [{ session: 2 ** 53 }, '/session'],
    [{ body: undefined }, 'body'],
    [{ extra: 1 }, '/extra is not a known field'],
  ] as const)
    t.throws(decode('ack', ack(wrong)), coded('MESSAGE_MALFORMED', 'ack message', place));
});

t.test(
  'fields at their limits: 64 acknowledgements, 1,024 samples, digests and ids of the right form',
  async (t) => {
    const ids = (count: number) => ack({ body: { ids: Array(count).fill('m') } });
    decode('ack', ids(64))();
    t.throws(decode('ack', ids(65)), coded('MESSAGE_MALFORMED', '/body/ids'));
    const timed = (count: number) => ({
      ...ack(),
      body: {
        jobId,
        outcome: 'measured',
        measurement: { ...measurement, decode: { ...timing, samplesMs: Array(count).fill(1) } },
      },
    });
    decode('result', timed(1024))();
    const place = '/body/measurement/decode/samplesMs';
    t.throws(decode('result', timed(1025)), coded('MESSAGE_MALFORMED', place, 'a list of 1025'));
    t.throws(decode('result', timed(0)), coded('MESSAGE_MALFORMED', place, 'a list of 0'));
    const jobWith = (change: Record<string, unknown>) =>
      decode('job', { ...ack(), body: { ...job, ...change } });
    jobWith({})();
    for (const [field, value] of [
      ['baseDigest', digest.toUpperCase()],
      ['baseDigest', digest.slice(1)],
      ['jobId', 'job_x'],
      ['jobId', '../../etc'],
      ['genome', 'g2:u:1.1.1.1.1'],
      ['genome', 'g1:u:1.1.1.1'],
      ['timeoutMs', 999],
      ['timeoutMs', 3_600_001],
      ['plan', { ...defaultMeasurePlan, threads: 0 }],
      ['plan', { ...defaultMeasurePlan, threads: 257 }],
    ] as const)
      t.throws(
        jobWith({ [field]: value }),
        coded('MESSAGE_MALFORMED', `/body/${field}`),
        `${field} ${JSON.stringify(value)}`,
      );
    for (const timeoutMs of [1000, 3_600_000]) jobWith({ timeoutMs })();
  },
);

for (const [kind, ceiling] of [
  ['result', 192 * 1024],
  ['ack', 32 * 1024],
] as const) {
  t.test(`${kind}: ${ceiling} bytes are read, one more is refused unread`, async (t) => {
    t.equal(messageCeiling(kind), ceiling);
    const body = samples[kind][0] as MessageBody<typeof kind>;
    const text = encodeMessage(kind, { id: 'm1', session: 1, body });
    decodeMessage(kind, encode(text.padEnd(ceiling)));
    t.throws(
      () => decodeMessage(kind, encode(text.padEnd(ceiling + 1))),
      coded('MESSAGE_TOO_LARGE', kind, ceiling + 1, ceiling),
    );
  });

  t.test(`${kind}: ${ceiling} bytes are sent, one more is not; bytes count, not characters`, async (t) => {
    const message = (id: string) => ({ id, session: 1, body: samples[kind][0] as MessageBody<typeof kind> });
    const room = ceiling - encodeMessage(kind, message('')).length;
    t.equal(encodeMessage(kind, message('x'.repeat(room))).length, ceiling);
    t.throws(
      () => encodeMessage(kind, message('x'.repeat(room + 1))),
      coded('MESSAGE_TOO_LARGE', kind, ceiling + 1, ceiling),
    );
    // "é" takes two bytes.
    t.throws(() => encodeMessage(kind, message('é'.repeat(Math.ceil(room / 2) + 1))), {
      code: 'MESSAGE_TOO_LARGE',
    });
  });
}

t.test('every kind has its direction’s ceiling', async (t) => {
  for (const kind of upKinds) t.equal(messageCeiling(kind), limits.upMessageBytes);
  for (const kind of downKinds) t.equal(messageCeiling(kind), limits.downMessageBytes);
});

t.test(
  'a job for 32 layers takes under 1.2 KiB, for the longest genome a message may carry under 4 KiB',
  async (t) => {
    const envelope = { id: 'm'.repeat(40), session: 2 ** 53 - 1 };
    const bytes = (genome: string) => encodeMessage('job', { ...envelope, body: { ...job, genome } }).length;
    t.ok(bytes(job.genome) < 1.2 * 1024, `${bytes(job.genome)} bytes`);
    const longest = `g1:u:${'9.9.9.9.9/'.repeat(350)}`;
    t.equal(longest.length, 5 + 3500);
    t.ok(bytes(longest) < 4096, `${bytes(longest)} bytes`);
    decode('job', { v: 1, ...envelope, body: { ...job, genome: longest } })();
    t.throws(
      decode('job', { v: 1, ...envelope, body: { ...job, genome: `${longest}9` } }),
      coded('MESSAGE_MALFORMED', '/body/genome'),
    );
  },
);

t.test('a result of 8 candidates with 700 samples of each quantity stays under its ceiling', async (t) => {
  const many = { p50Ms: 1, p90Ms: 1, n: 700, samplesMs: Array(700).fill(1234.5678) };
  const each = { ...measurement, prefill: many, decode: many };
  const none = { percent: 0, low: -0.1234567890123456, high: 0.1234567890123456 };
  const both = { prefill: none, decode: none };
  const batched = (position: number) => ({
    ...each,
    machine,
    batch: { size: limits.batch, position, seed: 2 ** 32 - 1, duplicate: both, difference: both },
  });
  const first = batched(0);
  const sharedSamplesMs = { prefill: many.samplesMs, decode: many.samplesMs };
  const body = {
    jobId,
    outcome: 'measured' as const,
    measurement: { ...first, batch: { ...first.batch, sharedSamplesMs } },
    others: Array.from({ length: limits.batch - 1 }, (_, index) => batched(index + 1)),
  };
  const text = encodeMessage('result', { id: 'm', session: 1, body });
  t.ok(text.length < limits.upMessageBytes, `${text.length} bytes`);
  decodeMessage('result', encode(text));
});

const sent = (body: unknown) => ({ v: 1, id: 'm1', session: 1, body });
for (const [kind, body, ...words] of [
  ['result', 7, '/body must be object', 'found 7'],
  ['result', { jobId, reason: 'x' }, '/body must have required properties outcome'],
  [
    'result',
    { jobId, outcome: 'lost', reason: 'x' },
    '/body/outcome must be one of "measured"',
    'found "lost"',
  ],
  ['result', { jobId, outcome: 'failed', reason: 7 }, '/body/reason must be string, found 7'],
  ['result', { jobId, outcome: 'qualified' }, '/body must have required properties qualification'],
  ['result', { jobId, outcome: 'failed', reason: 'x'.repeat(4001) }, '/body/reason', 'found 4001 characters'],
  ['job', { ...job, kind: 'bake' }, '/body/kind must be "qualify", found "bake"'],
  ['job', { ...job, others: [] }, '/body/others', 'found a list of 0'],
  ['job', { ...job, others: [job.genome, 'g1'] }, '/body/others/1', 'found "g1"'],
  [
    'job',
    { jobId, kind: 'qualify', runs: 1, pauseMs: 0, timeoutMs: 1000 },
    '/body/runs must be >= 2, found 1',
  ],
  ['job', { ...job, runs: 5 }, '/body/runs is not a known field'],
  ['progress', { jobId, step: 'sleeping' }, '/body/step must be one of "waiting"', 'found "sleeping"'],
  [
    'policy',
    { policies: [{ scope: { kind: 'planet', name: 'pi5' }, policy: {} }] },
    '/body/policies/0/scope/kind must be one of "class", "label", found "planet"',
  ],
  [
    'birth',
    { facts, heldJobIds: [], installedReleaseId: 'rel', serveUrl: null },
    '/body/installedReleaseId',
    'found "rel"',
  ],
] as const)
  t.test(`what is wrong with the ${kind} ${JSON.stringify(body).slice(0, 300)}`, async (t) => {
    t.throws(decode(kind, sent(body)), coded('MESSAGE_MALFORMED', kind, ...words));
  });

t.test('3,000 random changes of messages: whatever is refused is named with its place', async (t) => {
  const random = createRandom(4);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)] as T;
  const junk = [null, true, -1, 1.5, 1e300, '', 'measured', 'qualify', [], [1], {}, { kind: 'qualify' }];
  /** Changes one field somewhere in a body: another value, gone, or one more. */
  function change(value: Record<string, unknown>): void {
    const keys = Object.keys(value);
    const key = keys.length === 0 || random.next() < 0.1 ? 'more' : pick(keys);
    const inner = value[key];
    if (typeof inner === 'object' && inner !== null && random.next() < 0.7)
      change(inner as Record<string, unknown>);
    else if (random.next() < 0.3) delete value[key];
    else value[key] = pick(junk);
  }
  let refused = 0;
  const unnamed: string[] = [];
  for (let round = 0; round < 3000; round++) {
    const kind = pick(kinds);
    const body = structuredClone(pick(samples[kind] as readonly object[])) as Record<string, unknown>;
    change(body);
    try {
      decode(kind, sent(body))();
    } catch (error) {
      refused++;
      const { message } = error as Error;
      const named = /\/body[^ ]* (must |is not a known field)/.test(message);
      if (!named || !(error instanceof CodedError)) unnamed.push(`${JSON.stringify(body)}: ${message}`);
    }
  }
  t.ok(refused > 1500, `${refused} of 3,000 were refused`);
  t.same(unnamed, []);
});

t.test('parseAs names the value, the field and the reason', async (t) => {
  t.strictSame(parseAs(MeasurePlan, defaultMeasurePlan, 'plan'), defaultMeasurePlan);
  t.throws(
    () => parseAs(MeasurePlan, { ...defaultMeasurePlan, threads: 'two' }, 'measuring plan'),
    coded('MESSAGE_MALFORMED', 'measuring plan', '/threads'),
  );
  t.throws(
    () => parseAs(MeasurePlan, null, 'measuring plan'),
    coded('MESSAGE_MALFORMED', 'measuring plan: the value'),
  );
});
