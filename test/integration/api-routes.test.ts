import { once } from 'node:events';
import { Readable } from 'node:stream';
import { type ApiDomains, createApiServer } from '@fleetlora/coordinator/api';
import type { StoreState } from '@fleetlora/coordinator/store';
import { CodedError } from '@fleetlora/shared/errors';
import { type Health, routes } from '@fleetlora/shared/protocol';
import t from 'tap';
import { runCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';

const open = ['health', 'enroll', 'challenge', 'openSession'];
const paths = Object.entries(routes).map(([name, route]) => ({
  name,
  route: route
    .replace(':id', 'dev_00000000000000000000000000')
    .replace(':digest', 'a'.repeat(64))
    .replace(':kind', 'class')
    .replace(':name', 'pi5'),
}));

type Told = (fields: { err: Error }) => void;
/** A log that keeps quiet but for what is given. */
function createTestLog(given: { readonly warn?: Told; readonly error?: Told }) {
  const ignore = (): void => {};
  const log = {
    ...{ level: 'info', silent: ignore, trace: ignore, debug: ignore, info: ignore, fatal: ignore },
    ...{ warn: ignore as Told, error: ignore as Told, child: () => log },
    ...given,
  };
  return log;
}

t.test('every route of the protocol wants a token, but for the open ones', async (t) => {
  const coordinator = await runCoordinator(t);
  const session = await (await enrollTestDevice(coordinator)).openSession();
  for (const { name, route } of paths) {
    if (open.includes(name)) continue;
    const expected = { code: 'UNAUTHENTICATED' };
    for (const token of [null, 'fla_wrong', 'fld_wrong']) {
      const response = await coordinator.request(route, { token });
      t.equal(response.status, 401, `${route} with token ${token}`);
      t.match(await response.json(), expected);
    }
    const asDevice = await coordinator.request(route, { token: session });
    t.equal(asDevice.status, name === 'artifact' ? 404 : 403, `${route} with a device's token`);
  }
  const health = await coordinator.request('GET /v1/health', { token: null });
  t.match(await health.json(), {
    version: /^\d+\.\d+\.\d+$/,
    devicesOnline: 0,
    droppedMessages: 0,
  } as object);
});

t.test('the documentation at /docs lists every route of the protocol', async (t) => {
  const coordinator = await runCoordinator(t);
  const response = await coordinator.request('GET /docs/json', { token: null });
  const { paths: documented } = (await response.json()) as { paths: Record<string, Record<string, unknown>> };
  for (const route of Object.values(routes)) {
    const [method, path] = route.split(' ') as [string, string];
    const entry = documented[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
    t.match(entry, { summary: String }, route);
  }
  t.equal((await coordinator.request('GET /', { token: null })).status, 200, 'the start page leads there');
});

t.test('requests that do not fit', async (t) => {
  const coordinator = await runCoordinator(t);
  const answer = async (...given: Parameters<typeof coordinator.request>) => {
    const response = await coordinator.request(...given);
    const { code, message } = (await response.json()) as { code: string; message: string };
    return { status: response.status, code, message };
  };
  t.match(await answer('POST /v1/codes', { body: { ttlSeconds: 0 } }), {
    status: 400,
    code: 'BAD_REQUEST',
    message: /ttlSeconds/,
  });
  t.match(await answer('POST /v1/codes', { body: { unknown: 1 } }), { status: 400, code: 'BAD_REQUEST' });
  t.match(await answer('POST /v1/codes', { raw: Buffer.from('{}') }), { status: 400, code: 'BAD_REQUEST' });
  t.match(await answer('GET /v1/nothing'), { status: 404, code: 'NOT_FOUND', message: /GET \/v1\/nothing/ });
  t.match(await answer('GET /v1/devices/nobody'), { status: 404, code: 'NOT_FOUND', message: /"nobody"/ });
  t.match(await answer('GET /v1/artifacts/abc'), { status: 400, code: 'BAD_REQUEST' });
  t.match(await answer('POST /v1/uploads', { body: {} }), {
    status: 400,
    code: 'BAD_REQUEST',
    message: /octet-stream/,
  });
  t.match(await answer('POST /v1/searches', { body: {} }), { status: 400, code: 'BAD_REQUEST' });
});

t.test('a JSON body may have 256 KiB', async (t) => {
  const coordinator = await runCoordinator(t);
  // {"x":"…"} has 8 bytes around its text.
  const body = (bytes: number) => ({ x: 'x'.repeat(bytes - 8) });
  const inside = await coordinator.request('POST /v1/codes', { body: body(256 * 1024) });
  t.equal(inside.status, 400, 'read, and found not to fit');
  const outside = await coordinator.request('POST /v1/codes', { body: body(256 * 1024 + 1) });
  t.equal(outside.status, 413);
  t.match(await outside.json(), { code: 'MESSAGE_TOO_LARGE' });
});

t.test('above 499 the client gets a sentence by code, the log the reason', async (t) => {
  const logged: string[] = [];
  const failures: Record<string, Error> = {
    bug: new Error('column "secret" is missing in /home/someone/db'),
    unavailable: new CodedError('CHILD_FAILED', 'thread 7 of /home/someone ended'),
    timeout: new CodedError('JOB_TIMED_OUT', 'job of /home/someone'),
    other: new CodedError('RELEASE_UNHEALTHY', 'release of /home/someone'),
    full: new CodedError('DISK_FULL', 'no space left on /home/someone'),
    away: new CodedError('STORE_UNAVAILABLE', 'connect ECONNREFUSED 10.1.2.3'),
    conflict: new CodedError('STATE_CONFLICT', 'search "a" is over'),
  };
  let failure = '';
  const domains = {
    health: (): Promise<Health> => Promise.reject(failures[failure]),
    identity: {},
    store: { state: () => ({ available: true }), onState: () => () => {} },
  } as unknown as ApiDomains;
  const log = createTestLog({ error: ({ err }) => void logged.push(err.message) });
  const server = await createApiServer({ domains, log, version: '0.0.0' });
  t.teardown(() => server.close());
  const ask = async (kind: string) => {
    failure = kind;
    const { statusCode, body } = await server.inject('/v1/health');
    return { statusCode, ...(JSON.parse(body) as { code: string; message: string }) };
  };
  t.same(await ask('bug'), {
    statusCode: 500,
    code: 'BUG',
    message: 'the coordinator failed to do this, its log says why',
  });
  t.same(await ask('unavailable'), {
    statusCode: 503,
    code: 'CHILD_FAILED',
    message: 'a process that works for the coordinator ended badly, its log says why; try again',
  });
  t.match(await ask('timeout'), { statusCode: 503, message: 'a device did not deliver in time; try again' });
  t.match(await ask('other'), {
    statusCode: 503,
    message: 'the coordinator cannot do this at present, try again later',
  });
  t.same(await ask('full'), {
    statusCode: 507,
    code: 'DISK_FULL',
    message: "the coordinator's disk is full; free space and try again",
  });
  t.same(await ask('away'), {
    statusCode: 503,
    code: 'STORE_UNAVAILABLE',
    message: "the coordinator's database cannot be reached; try again when it is back",
  });
  t.same(await ask('conflict'), { statusCode: 409, code: 'STATE_CONFLICT', message: 'search "a" is over' });
  const { bug, unavailable, timeout, other, full } = failures;
  t.same(
    logged,
    [bug, unavailable, timeout, other, full].map((error) => error?.message),
    'a refusal is no failure, and an outage of the store is told by the store',
  );
});

t.test('a backup that begins after an outage answered its request is given up', async (t) => {
  let tell: (state: StoreState) => void = () => {};
  let begin: (archive: Readable) => void = () => {};
  let reach: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const domains = {
    identity: { admin: { matches: () => true } },
    store: {
      state: () => ({ available: true }),
      onState(listener: typeof tell) {
        tell = listener;
        return () => {};
      },
    },
    backups: {
      open() {
        reach();
        return new Promise<Readable>((resolve) => {
          begin = resolve;
        });
      },
    },
  } as unknown as ApiDomains;
  const log = createTestLog({ warn: ({ err }) => t.fail(err.message) });
  const server = await createApiServer({ domains, log, version: '0.0.0' });
  t.teardown(() => server.close());
  const answer = server.inject({ url: '/v1/backup', headers: { authorization: 'Bearer any' } });
  await asked;
  tell({ available: false, code: 'STORE_UNAVAILABLE', sinceMs: 0 });
  t.equal((await answer).statusCode, 503);
  const archive = new Readable({ read() {} });
  const closed = once(archive, 'close');
  begin(archive);
  await closed;
  t.pass('unread, it would hold its files for ever');
});
