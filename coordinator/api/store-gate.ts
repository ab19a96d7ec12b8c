import { CodedError } from '@fleetlora/shared/errors';
import { routes } from '@fleetlora/shared/protocol';
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { ApiDomains, StoreState } from './ports.js';

const [, healthPath] = routes.health.split(' ');

/**
 * While the store is unavailable, requests are answered at once in place of waiting with it: those
 * that come, and those that were already being handled. What the latter had begun may still be
 * done once the store is back. Only health needs no store. For routes added to `scope` from here on.
 */
export function gateByStore(scope: Pick<FastifyInstance, 'addHook'>, store: ApiDomains['store']): void {
  const requests = new Set<(outage: CodedError) => void>();
  store.onState((state) => {
    if (state.available) return;
    for (const refuse of [...requests]) refuse(outageOf(state));
  });

  scope.addHook('onRoute', (route: RouteOptions) => {
    if (route.url === healthPath) return;
    const { handler } = route;
    route.handler = function handleUnlessUnavailable(request, reply) {
      const state = store.state();
      if (!state.available) throw outageOf(state);
      return new Promise((resolve, reject) => {
        requests.add(reject);
        Promise.resolve(handler.call(this, request, reply))
          .finally(() => requests.delete(reject))
          .then(resolve, reject);
      });
    };
  });
}

function outageOf({ code }: Extract<StoreState, { available: false }>): CodedError {
  return new CodedError(
    code,
    code === 'DISK_FULL' ? 'no space is left for the database' : 'the database cannot be reached',
  );
}
