import { Adapter, AdapterImport, Base, BaseImport, Dataset, DatasetImport } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ByIdOrName, creates, routeOf } from './route.js';

/** Bases, super-adapters and data sets, made of files that were uploaded before. */
export function addModelRoutes(api: ApiScope, { catalog }: ApiDomains): void {
  api.route({
    ...routeOf('importBase'),
    schema: { body: BaseImport, response: creates(Base) },
    handler: async ({ body }, reply) => reply.code(201).send(await catalog.importBase(body)),
  });
  api.route({
    ...routeOf('listBases'),
    schema: { response: answers(Type.Array(Base)) },
    handler: () => catalog.listBases(),
  });
  api.route({
    ...routeOf('importAdapter'),
    schema: {
      body: AdapterImport,
      response: creates(Adapter),
    },
    handler: async ({ body }, reply) => reply.code(201).send(await catalog.importAdapter(body)),
  });
  api.route({
    ...routeOf('listAdapters'),
    schema: { response: answers(Type.Array(Adapter)) },
    handler: () => catalog.listAdapters(),
  });
  api.route({
    ...routeOf('importDataset'),
    schema: {
      body: DatasetImport,
      response: creates(Dataset),
    },
    handler: async ({ body }, reply) => reply.code(201).send(await catalog.importDataset(body)),
  });
  api.route({
    ...routeOf('listDatasets'),
    schema: { response: answers(Type.Array(Dataset)) },
    handler: () => catalog.listDatasets(),
  });
  api.route({
    ...routeOf('showDataset'),
    schema: {
      params: ByIdOrName,
      response: answers(Dataset),
    },
    handler: ({ params }) => catalog.findDataset(params.id),
  });
}
