import { Release, ReleaseCreate, Rollout, RolloutStart } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ById, ByIdOrName, creates, routeOf } from './route.js';

/** Releases, and the rollouts that bring them to devices. */
export function addReleaseRoutes(api: ApiScope, { releases, rollouts }: ApiDomains): void {
  api.route({
    ...routeOf('createRelease'),
    schema: {
      body: ReleaseCreate,
      response: creates(Release),
    },
    handler: async ({ body }, reply) => reply.code(201).send(await releases.create(body)),
  });
  api.route({
    ...routeOf('listReleases'),
    schema: { response: answers(Type.Array(Release)) },
    handler: () => releases.list(),
  });
  api.route({
    ...routeOf('showRelease'),
    schema: { params: ByIdOrName, response: answers(Release) },
    handler: ({ params }) => releases.find(params.id),
  });
  api.route({
    ...routeOf('startRollout'),
    schema: { body: RolloutStart, response: creates(Rollout) },
    handler: async ({ body }, reply) => reply.code(201).send(await rollouts.start(body)),
  });
  api.route({
    ...routeOf('listRollouts'),
    schema: { response: answers(Type.Array(Rollout)) },
    handler: () => rollouts.list(),
  });
  api.route({
    ...routeOf('showRollout'),
    schema: { params: ById, response: answers(Rollout) },
    handler: ({ params }) => rollouts.show(params.id),
  });
}
