import { Device, Labels, PolicyScope, PolicySet, ScopedPolicy } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ByIdOrName, routeOf } from './route.js';

/** When which devices may measure, and the labels by which policies find them. */
export function addPolicyRoutes(api: ApiScope, { fleet }: ApiDomains): void {
  api.route({
    ...routeOf('listPolicies'),
    schema: {
      response: answers(Type.Array(ScopedPolicy)),
    },
    handler: () => fleet.policies.list(),
  });
  api.route({
    ...routeOf('setPolicy'),
    schema: {
      body: PolicySet,
      response: answers(ScopedPolicy),
    },
    handler: ({ body }) => fleet.policies.set(body),
  });
  api.route({
    ...routeOf('removePolicy'),
    schema: {
      params: PolicyScope,
      response: answers(ScopedPolicy),
    },
    handler: ({ params }) => fleet.policies.remove(params),
  });
  api.route({
    ...routeOf('setLabels'),
    schema: {
      params: ByIdOrName,
      body: Labels,
      response: answers(Device),
    },
    handler: ({ params, body }) => fleet.setLabels(params.id, body.labels),
  });
}
