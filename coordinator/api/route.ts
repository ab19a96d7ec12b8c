import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { ApiError, Id, routes } from '@fleetlora/shared/protocol';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  HTTPMethods,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import { type TSchema, Type } from 'typebox';
import { type Access, accessOf } from './access.js';

/** The server as route files see it: bodies and answers are typed by their schemas. */
export type ApiScope = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression<RawServerDefault>,
  RawReplyDefaultExpression<RawServerDefault>,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Method, path and access of a route of the protocol's list. What is told of it stands in docs/. */
export function routeOf(name: keyof typeof routes): {
  method: HTTPMethods;
  url: string;
  config: { access: Access };
} {
  const [method, url] = routes[name].split(' ') as [HTTPMethods, string];
  return { method, url, config: { access: accessOf[name] } };
}

/** Response schemas of a route that answers with 200. */
export function answers<S extends TSchema>(schema: S) {
  return { 200: schema, ...errors };
}
/** Response schemas of a route that makes something and answers with 201. */
export function creates<S extends TSchema>(schema: S) {
  return { 201: schema, ...errors };
}
const errors = { '4xx': ApiError, '5xx': ApiError };

/** The `:id` of a path, where only an id will do. */
export const ById = Type.Object({ id: Id });
/** The `:id` of a path, where a name will do as well. */
export const ByIdOrName = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });
