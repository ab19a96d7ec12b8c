import { STATUS_CODES } from 'node:http';
import type { ErrorCode } from '@fleetlora/shared/errors';
import { routes } from '@fleetlora/shared/protocol';
import { type Access, accessOf } from '../access.js';
import { sentenceOf, statusOf } from '../errors.js';
import { nameSchemas } from './name-schemas.js';
import { type RouteDoc, tags } from './route-doc.js';

type RouteName = keyof typeof routes;
type Docs = Readonly<Record<RouteName, RouteDoc>>;

interface Media {
  schema?: unknown;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
interface Response {
  description?: string;
  content?: Record<string, Media>;
}
interface Operation {
  parameters?: { name: string; in: string; description?: string }[];
  requestBody?: { content?: Record<string, Media> };
  responses?: Record<string, Response>;
  [other: string]: unknown;
}
/** The part of an OpenAPI document that is written here. */
export interface ApiDocument {
  paths?: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, unknown>; securitySchemes?: Record<string, unknown> };
  tags?: { name: string; description: string }[];
  [other: string]: unknown;
}

const JSON_TYPE = 'application/json';

export const securitySchemes = {
  adminToken: {
    type: 'http',
    scheme: 'bearer',
    description:
      'The admin token that `fleetlora up` printed at its first start, for people and their programs.',
  },
  deviceSession: {
    type: 'http',
    scheme: 'bearer',
    description: 'The token of `openSession`, for agents.',
  },
} as const;
const securityOf: Readonly<Record<Access, object[]>> = {
  anyone: [],
  person: [{ adminToken: [] }],
  personOrDevice: [{ adminToken: [] }, { deviceSession: [] }],
};

/**
 * Completes a generated document, which holds paths and schemas, by what the docs say: text, examples,
 * who may call each route, and the errors each can end with.
 */
export function describeApi(document: ApiDocument, docs: Docs): ApiDocument {
  const paths = { ...document.paths };
  for (const [name, route] of Object.entries(routes) as [RouteName, string][]) {
    const [method, path] = placeOf(route);
    const operation = paths[path]?.[method];
    if (operation) paths[path] = { ...paths[path], [method]: describeOperation(name, operation, docs[name]) };
  }
  const { value, schemas } = nameSchemas(paths);
  return {
    ...document,
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    components: { ...document.components, schemas: { ...document.components?.schemas, ...schemas } },
    paths: value,
  };
}

/** "GET /v1/bases/:id" → "get" and "/v1/bases/{id}". */
function placeOf(route: string): [string, string] {
  const [method = '', path = ''] = route.split(' ');
  return [method.toLowerCase(), path.replaceAll(/:(\w+)/g, '{$1}')];
}

function describeOperation(name: RouteName, operation: Operation, doc: RouteDoc): Operation {
  const access = accessOf[name];
  const parameters = [
    ...(operation.parameters ?? []).map((parameter) => ({
      ...parameter,
      description: doc.params?.[parameter.name] ?? parameter.description,
    })),
    ...(doc.raw?.headers ?? []).map((header) => ({ ...header, in: 'header', schema: { type: 'string' } })),
  ];
  const body = doc.raw?.requestBody ?? withExample(operation.requestBody, doc.body);
  return {
    operationId: name,
    tags: [doc.tag],
    summary: doc.summary,
    description: [doc.description, usedBy(doc, access)].join('\n\n'),
    security: securityOf[access],
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: body }),
    responses: { ...successes(operation, doc), ...errorResponses(errorsOf(name, operation, doc)) },
  };
}

function usedBy({ commands, tag }: RouteDoc, access: Access): string {
  if (commands.length > 0)
    return `Used by ${commands.map((command) => `\`fleetlora ${command}\``).join(', ')}.`;
  if (tag === 'device protocol' || access === 'personOrDevice') return 'Called by `fleetlora-agent`.';
  return 'No command uses it; it is for programs that watch.';
}

function withExample<T extends { content?: Record<string, Media> }>(
  part: T | undefined,
  example: unknown,
): T | undefined {
  const media = part?.content?.[JSON_TYPE];
  if (!part || !media || example === undefined) return part;
  return { ...part, content: { ...part.content, [JSON_TYPE]: { ...media, example } } };
}

function successes(operation: Operation, doc: RouteDoc): Record<string, object> {
  if (doc.raw?.responses) return doc.raw.responses as Record<string, object>;
  return Object.fromEntries(
    Object.entries(operation.responses ?? {})
      .filter(([status]) => /^2\d\d$/.test(status))
      .map(([status, response]) => [
        status,
        { ...withExample(response, doc.answer), description: status === '201' ? 'Made.' : 'Done.' },
      ]),
  );
}

/** Every error the route can end with, and an example of its message. */
function errorsOf(name: RouteName, operation: Operation, doc: RouteDoc): Partial<Record<ErrorCode, string>> {
  const access = accessOf[name];
  const sendsBody = !routes[name].startsWith('GET ');
  const hasParams = operation.parameters?.some((parameter) => parameter.in === 'path') ?? false;
  return {
    ...((sendsBody || hasParams) && {
      BAD_REQUEST: operation.requestBody
        ? 'body/name must match pattern "^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$"'
        : 'params/id must not have more than 64 characters',
    }),
    ...(access !== 'anyone' && {
      UNAUTHENTICATED: 'no "Authorization: Bearer TOKEN" header, wanted the admin token',
    }),
    ...(access === 'person' && { FORBIDDEN: 'this is a device session, wanted the admin token' }),
    ...(sendsBody && { MESSAGE_TOO_LARGE: 'Request body is too large' }),
    ...doc.errors,
    BUG: '',
    ...(name !== 'health' && { STORE_UNAVAILABLE: '', DISK_FULL: '' }),
  };
}

function errorResponses(errors: Partial<Record<ErrorCode, string>>): Record<string, Response> {
  const responses: Record<string, Response> = {};
  for (const [code, said] of Object.entries(errors) as [ErrorCode, string][]) {
    const status = statusOf(code);
    const message = status < 500 ? said : sentenceOf(code);
    responses[status] ??= {
      content: { [JSON_TYPE]: { schema: { $ref: '#/components/schemas/ApiError' }, examples: {} } },
    };
    const media = responses[status].content?.[JSON_TYPE];
    if (media?.examples) media.examples[code] = { value: { code, message } };
  }
  for (const [status, response] of Object.entries(responses)) {
    const codes = Object.keys(response.content?.[JSON_TYPE]?.examples ?? {});
    response.description = `${STATUS_CODES[status]}: ${codes.map((code) => `\`${code}\``).join(', ')}.`;
  }
  return responses;
}
