import { routeDocs } from '@fleetlora/coordinator/api';
import { type ErrorCode, errorTable } from '@fleetlora/shared/errors';
import { ApiError, parseAs, routes } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import type { TSchema } from 'typebox';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';

type RouteName = keyof typeof routes;
interface Media {
  schema?: TSchema;
  example?: unknown;
  examples?: Record<string, { value: { code: string; message: string } }>;
}
interface Operation {
  operationId?: string;
  tags?: string[];
  summary?: string;
  description?: string;
  security?: Record<string, unknown>[];
  parameters?: { name: string; in: string; description?: string; schema?: TSchema }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}
interface Document {
  openapi: string;
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { securitySchemes: Record<string, unknown>; schemas: Record<string, unknown> };
}

const names = Object.keys(routes) as RouteName[];
/** Bytes come and go in place of JSON. */
const binary: Partial<Record<RouteName, string>> = {
  upload: 'application/octet-stream',
  artifact: 'application/octet-stream',
  backup: 'application/x-tar',
};

async function openDocument(t: Test) {
  const coordinator = await runCoordinator(t);
  const response = await coordinator.request('GET /docs/json', { token: null });
  const document = (await response.json()) as Document;
  const operationOf = (name: RouteName): Operation => {
    const [method = '', path = ''] = routes[name].split(' ');
    const operation = document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
    if (!operation) throw new Error(`${routes[name]} is not in the document`);
    return operation;
  };
  return { coordinator, document, operationOf };
}

t.test('every route is documented: text, parameters, examples that fit, who may call it', async (t) => {
  const { document, operationOf } = await openDocument(t);
  t.match(document.openapi, /^3\.1\./);
  const documented = Object.values(document.paths).flatMap((path) => Object.values(path));
  t.same(documented.map(({ operationId }) => operationId).sort(), [...names].sort(), 'these and no others');
  t.same(JSON.parse(JSON.stringify(ApiError)), document.components.schemas.ApiError);
  const unused = Object.keys(document.components.schemas).filter(
    (name) => !JSON.stringify(document).includes(`"#/components/schemas/${name}"`),
  );
  t.same(unused, [], 'every schema with a name is referred to');
  const fields = (schema: string) =>
    Object.values((document.components.schemas[schema] as { properties: Record<string, object> }).properties);
  for (const schema of ['SearchStart', 'TrainingOptions', 'DatasetImport', 'DevicePolicy', 'Retention'])
    t.ok(
      fields(schema).every((field) => 'description' in field),
      `${schema}: every field is described`,
    );
  for (const name of names) {
    const {
      tags = [],
      summary,
      description,
      security,
      parameters = [],
      requestBody,
      responses,
    } = operationOf(name);
    const place = routes[name];
    t.ok(
      document.tags.some((tag) => tags.length === 1 && tag.name === tags[0] && tag.description),
      `${place}: one of the tags`,
    );
    t.match(summary, /^[A-Z].{8,80}[^.]$/, `${place}: summary`);
    t.match(
      description,
      /^[A-Z`].{10,}\.\n\n(Used by `fleetlora|Called by `fleetlora-agent`|No command)/s,
      place,
    );
    for (const scheme of security?.flatMap(Object.keys) ?? ['none'])
      t.ok(Object.hasOwn(document.components.securitySchemes, scheme), `${place}: security`);
    const inPath = [...place.matchAll(/:(\w+)/g)].map(([, parameter]) => parameter);
    t.same(
      parameters.filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name),
      inPath,
      `${place}: parameters`,
    );
    for (const parameter of parameters)
      t.match(parameter.description, /^.{8,}\.$/, `${place}: ${parameter.name}`);

    const type = binary[name];
    if (type) {
      const carrier = name === 'upload' ? requestBody : responses['200'];
      t.same(carrier?.content?.[type], { schema: { type: 'string', format: 'binary' } }, `${place}: bytes`);
    }
    const check = (content: Record<string, Media> | undefined, what: string) =>
      checkExample(t, inline(content, document.components.schemas), `${place}: ${what}`);
    if (requestBody && name !== 'upload') check(requestBody.content, 'body');
    const [success = ''] = Object.keys(responses);
    t.match(success, /^20[01]$/, `${place}: the success comes first`);
    if (!type || name === 'upload') check(responses[success]?.content, 'answer');
    if (success === '201') t.match(place, /^POST/);
  }
});

/** A part of the document with the schemas it refers to in place of their names. */
function inline<T>(part: T, schemas: Record<string, unknown>): T {
  return JSON.parse(JSON.stringify(part), (_key, value) => {
    const [, name] = /^#\/components\/schemas\/(\w+)$/.exec(value?.$ref ?? '') ?? [];
    return name === undefined ? value : inline(schemas[name], schemas);
  }) as T;
}

/** The only JSON example of a body or answer fits its schema. */
function checkExample(t: Test, content: Record<string, Media> | undefined, what: string): void {
  t.same(Object.keys(content ?? {}), ['application/json'], what);
  const { schema, example } = content?.['application/json'] ?? {};
  t.ok(schema && example !== undefined, `${what} has schema and example`);
  if (schema) t.doesNotThrow(() => parseAs(schema, example, what), what);
}

/** HTTP status of an error code, written down a second time. */
function statusOf(code: ErrorCode): number {
  const exact: Partial<Record<ErrorCode, number>> = {
    UNAUTHENTICATED: 401,
    FORBIDDEN: 403,
    MESSAGE_TOO_LARGE: 413,
    RANGE_INVALID: 416,
    DISK_FULL: 507,
  };
  return (
    exact[code] ?? { input: 400, notFound: 404, conflict: 409, unavailable: 503, bug: 500 }[errorTable[code]]
  );
}

t.test('every error has its status, its code and an example; above 499 it says what to do', async (t) => {
  const { operationOf } = await openDocument(t);
  for (const name of names) {
    const wrong: unknown[] = [];
    const check = (fits: boolean, ...found: unknown[]) => fits || wrong.push(found);
    for (const [status, { description, content }] of Object.entries(operationOf(name).responses)) {
      if (Number(status) < 400) continue;
      const { schema, examples = {} } = content?.['application/json'] ?? {};
      check(JSON.stringify(schema) === '{"$ref":"#/components/schemas/ApiError"}', status, schema);
      check(Object.keys(examples).length > 0, status, 'no example');
      for (const [code, { value }] of Object.entries(examples)) {
        const { message } = parseAs(ApiError, value, code);
        check(value.code === code && description.includes(`\`${code}\``), status, code, description);
        check(statusOf(code as ErrorCode) === Number(status), status, code);
        check(message.length > 10, status, code, message);
        if (Number(status) >= 500) check(/coordinator|device/.test(message), status, code, message);
      }
    }
    t.same(wrong, [], routes[name]);
  }
});

t.test('the statuses of some routes [worked out by hand]', async (t) => {
  const { operationOf } = await openDocument(t);
  const statuses = (name: RouteName) => Object.keys(operationOf(name).responses).map(Number);
  t.same(statuses('health'), [200, 500]);
  t.same(statuses('listBases'), [200, 401, 403, 500, 503, 507]);
  t.same(statuses('showDevice'), [200, 400, 401, 403, 404, 500, 503, 507]);
  t.same(statuses('artifact'), [200, 206, 304, 400, 401, 404, 416, 500, 503, 507]);
  t.same(statuses('importBase'), [201, 400, 401, 403, 404, 409, 413, 500, 503, 507]);
  t.same(statuses('challenge'), [200, 400, 413, 500, 503, 507]);
  t.same(statuses('openSession'), [200, 400, 401, 413, 500, 503, 507]);
  t.same(statuses('stopSearch'), [200, 400, 401, 403, 404, 409, 413, 500, 503, 507]);
});

t.test('each route answers what a stranger sends with a documented error, and with no other', async (t) => {
  const { coordinator, operationOf } = await openDocument(t);
  const session = await (await enrollTestDevice(coordinator)).openSession();
  for (const name of names) {
    const { responses, parameters = [], requestBody } = operationOf(name);
    const route = routes[name]
      .replace(':digest', 'a'.repeat(64))
      .replace(':kind', 'class')
      .replace(':id', unknownId(name))
      .replace(':name', 'nobody');
    const check = (status: number, does: boolean, what: string) =>
      t.equal(Object.hasOwn(responses, status), does, `${routes[name]} ${status}: ${what}`);
    check(
      401,
      (await answer(coordinator, route, { token: null })) === 401 || name === 'openSession',
      'no token',
    );
    check(403, (await answer(coordinator, route, { token: session })) === 403, 'a session of a device');
    if (requestBody && name !== 'upload') {
      t.equal(await answer(coordinator, route, { body: { nonsense: 1 } }), 400, routes[name]);
      check(400, true, 'a body that does not fit');
      const large = { nonsense: 'x'.repeat(256 * 1024) };
      t.equal(await answer(coordinator, route, { body: large }), 413, routes[name]);
      check(413, true, 'a body that is too large');
    }
    if (parameters.some((parameter) => parameter.in === 'path')) {
      const body = requestBody && routeDocs[name].body;
      t.equal(await answer(coordinator, route, body === undefined ? {} : { body }), 404, routes[name]);
      check(404, true, 'nothing has this name');
      const long = route.replace(/a{64}|nobody|roll_\w+/, 'b'.repeat(100));
      t.equal(await answer(coordinator, long, body === undefined ? {} : { body }), 400, long);
    }
  }
});

/** Rollouts have ids alone. */
const unknownId = (name: RouteName): string =>
  name === 'showRollout' ? 'roll_00000000000000000000000000' : 'nobody';

async function answer(
  coordinator: TestCoordinator,
  route: string,
  options: Parameters<TestCoordinator['request']>[1],
): Promise<number> {
  const response = await coordinator.request(route, options);
  await response.body?.cancel();
  return response.status;
}
