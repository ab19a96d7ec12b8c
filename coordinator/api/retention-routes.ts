import { GarbageCollect, GarbageReport, Retention } from '@fleetlora/shared/protocol';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, routeOf } from './route.js';

/** How long things are kept, and what can go. */
export function addRetentionRoutes(api: ApiScope, { retention }: ApiDomains): void {
  api.route({
    ...routeOf('showRetention'),
    schema: { response: answers(Retention) },
    handler: () => retention.show(),
  });
  api.route({
    ...routeOf('setRetention'),
    schema: { body: Retention, response: answers(Retention) },
    handler: ({ body }) => retention.set(body),
  });
  api.route({
    ...routeOf('collectGarbage'),
    schema: {
      body: GarbageCollect,
      response: answers(GarbageReport),
    },
    handler: ({ body }) => retention.collect(body),
  });
}
