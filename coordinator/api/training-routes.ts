import { AdapterTune, Training, TrainingStart } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ByIdOrName, creates, routeOf } from './route.js';

export function addTrainingRoutes(api: ApiScope, { trainings }: ApiDomains): void {
  api.route({
    ...routeOf('startTraining'),
    schema: { body: TrainingStart, response: creates(Training) },
    handler: async ({ body }, reply) => reply.code(201).send(await trainings.start(body)),
  });
  api.route({
    ...routeOf('tuneAdapter'),
    schema: { params: ByIdOrName, body: AdapterTune, response: creates(Training) },
    handler: async ({ params, body }, reply) => reply.code(201).send(await trainings.tune(params.id, body)),
  });
  api.route({
    ...routeOf('listTrainings'),
    schema: { response: answers(Type.Array(Training)) },
    handler: () => trainings.list(),
  });
  api.route({
    ...routeOf('showTraining'),
    schema: { params: ByIdOrName, response: answers(Training) },
    handler: ({ params }) => trainings.show(params.id),
  });
  api.route({
    ...routeOf('stopTraining'),
    schema: { params: ByIdOrName, response: answers(Training) },
    handler: ({ params }) => trainings.stop(params.id),
  });
}
