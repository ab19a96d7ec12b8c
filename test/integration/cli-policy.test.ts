import type { Conditions, Device, ScopedPolicy } from '@fleetlora/shared/protocol';
import t from 'tap';
import { commandOf } from '../lib/command-of.js';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';

const forbidden: Conditions = {
  mayMeasure: false,
  reasons: ['policy of class board: outside 22:00-06:00'],
  onMains: false,
  temperatureC: 48.25,
  metered: null,
  localTime: '14:10',
};

t.test('policies are set for a class and a label, listed and removed', async (t) => {
  const run = commandOf(await runCoordinator(t));
  t.match(await run('policy', 'list'), {
    out: 'no policy yet, devices measure at any time: fleetlora policy set\n',
  });
  t.match(await run('policy', 'set', '--class', 'board', '--hours', '22:00-06:00, 12:00-13:00', '--mains'), {
    code: 0,
    out: /class board +22:00-06:00 or 12:00-13:00, mains power +0 /,
    err: 'no device has class "board" so far (none is known yet)\n',
  });
  const set = [
    'policy',
    'set',
    '--label',
    'office',
    '--max-temperature',
    '70',
    '--unmetered',
    '--quiet',
    '10m',
  ];
  const stored = JSON.parse((await run(...set, '--json')).out) as ScopedPolicy;
  t.match(stored, {
    scope: { kind: 'label', name: 'office' },
    policy: { maxTemperatureC: 70, unmetered: true, quietSeconds: 600 },
  });
  t.match(JSON.parse((await run('policy', 'list', '--json')).out), [
    { scope: { kind: 'class', name: 'board' }, policy: { hours: ['22:00-06:00', '12:00-13:00'] } },
    stored,
  ]);
  t.match(await run('policy', 'remove', '--label', 'office'), {
    code: 0,
    out: 'removed from label office: at most 70 °C, unmetered network, 10 min of quiet\n',
  });
  t.match(await run('policy', 'remove', '--label', 'office'), {
    code: 1,
    err: /NOT_FOUND: there is no policy for label "office"/,
  });
});

for (const [args, told] of [
  [['set', '--hours', '22:00-06:00'], /takes either --class or --label/],
  [['set', '--class', 'a', '--label', 'b', '--mains'], /takes either --class or --label/],
  [['set', '--class', 'a'], /at least one of --hours, --mains/],
  [['set', '--class', 'a', '--hours', '22-6'], /Wanted hours such as 22:00-06:00/],
  [['set', '--class', 'a', '--hours', '22:00-24:00'], /Wanted hours such as 22:00-06:00/],
  [['set', '--class', 'a', '--max-temperature', '19.9'], /from 20 to 150/],
  [['set', '--class', 'a', '--max-temperature', '150.1'], /from 20 to 150/],
  [['set', '--class', 'a', '--quiet', 'long'], /Wanted a time such as 90s/],
  [['remove'], /takes either --class or --label/],
] as const)
  t.test(`policy ${args.join(' ')}: used wrongly`, async (t) => {
    const { code, err } = await commandOf({ url: 'http://127.0.0.1:1', token: 'x' } as TestCoordinator)(
      'policy',
      ...args,
    );
    t.equal(code, 2);
    t.match(err, told);
  });

t.test('a device: its labels, its policies, and why it is idle', async (t) => {
  const coordinator = await runCoordinator(t);
  const run = commandOf(coordinator);
  const device = await enrollTestDevice(coordinator, { name: 'board-7' });
  await enrollTestDevice(coordinator, { name: 'board-8' });
  const connection = await device.connect();
  await connection.birth({ conditions: forbidden });
  t.notMatch((await run('devices')).out, /labels/, 'no column of dashes');

  t.same(await run('devices', 'label', 'board-7', '--add', 'office', '--add', 'attic'), {
    code: 0,
    out: 'board-7: attic, office\n',
    err: '',
  });
  t.match(await run('policy', 'set', '--label', 'offcie', '--mains'), {
    err: 'no device has label "offcie" so far (known: attic, office)\n',
  });
  t.match(await run('policy', 'set', '--class', 'board', '--hours', '22:00-06:00'), {
    out: / 2 /,
    err: '1 of them offline: told when they connect\n',
  });
  t.match(await connection.next('policy'), { body: { policies: [] } });
  t.match(await connection.next('policy'), { body: { policies: [] } });
  t.match(await connection.next('policy'), { body: { policies: [{ policy: { hours: ['22:00-06:00'] } }] } });

  const reason = 'policy of class board: outside 22:00-06:00, now 14:10 there';
  t.match((await run('devices')).out, new RegExp(`board-7 +board +attic, office +online .* ${reason}\n`));
  const shown = (await run('devices', 'board-7')).out;
  for (const line of [
    /^labels +attic, office$/m,
    new RegExp(`^now +${reason}$`, 'm'),
    /^policy +class board: 22:00-06:00$/m,
    /^senses +14:10, 48\.3 °C, on battery$/m,
  ])
    t.match(shown, line);

  const relabelled = await run(
    'devices',
    'label',
    device.id,
    '--remove',
    'office',
    '--add',
    'attic',
    '--json',
  );
  t.match(JSON.parse(relabelled.out) as Device, { name: 'board-7', labels: ['attic'] });
  t.match(await run('devices', 'label', 'board-7', '--remove', 'office'), {
    code: 1,
    err: /NOT_FOUND: device "board-7" has no label "office", only: attic/,
  });
  t.match(await run('devices', 'label', 'board-7'), { code: 2, err: /at least one --add or --remove/ });
  t.match(await run('devices', 'label', 'board-9', '--add', 'x'), { code: 1, err: /NOT_FOUND.*board-9/ });
  t.match(await run('devices', 'label', 'board-7', '--add', '?'), { code: 1, err: /BAD_REQUEST/ });

  await connection.send('death', {});
  await connection.end();
  const away = (await run('devices', 'board-7')).out;
  t.match(away, /^now +offline, last seen [^,]*, when it might not measure \(policy of class board: .*\)$/m);
  t.match(away, /^sensed then +14:10, 48\.3 °C, on battery$/m);
});
