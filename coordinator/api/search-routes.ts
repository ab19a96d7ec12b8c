import { Front, Search, SearchStart, Trial, TrialComparison } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ByIdOrName, creates, routeOf } from './route.js';

const TrialName = Type.String({ minLength: 3, maxLength: 130 });

export function addSearchRoutes(api: ApiScope, { searches }: ApiDomains): void {
  api.route({
    ...routeOf('startSearch'),
    schema: { body: SearchStart, response: creates(Search) },
    handler: async ({ body }, reply) => reply.code(201).send(await searches.start(body)),
  });
  api.route({
    ...routeOf('listSearches'),
    schema: { response: answers(Type.Array(Search)) },
    handler: () => searches.list(),
  });
  api.route({
    ...routeOf('showSearch'),
    schema: { params: ByIdOrName, response: answers(Search) },
    handler: ({ params }) => searches.show(params.id),
  });
  api.route({
    ...routeOf('listTrials'),
    schema: { params: ByIdOrName, response: answers(Type.Array(Trial)) },
    handler: ({ params }) => searches.trials(params.id),
  });
  api.route({
    ...routeOf('showFront'),
    schema: { params: ByIdOrName, response: answers(Front) },
    handler: ({ params }) => searches.front(params.id),
  });
  api.route({
    ...routeOf('stopSearch'),
    schema: { params: ByIdOrName, response: answers(Search) },
    handler: ({ params }) => searches.stop(params.id),
  });
  api.route({
    ...routeOf('compareTrials'),
    schema: { querystring: Type.Object({ a: TrialName, b: TrialName }), response: answers(TrialComparison) },
    handler: ({ query }) => searches.compare(query.a, query.b),
  });
}
