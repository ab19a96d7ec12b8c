import {
  Adapter,
  AdapterExport,
  AdapterExported,
  AdapterImport,
  AdapterMerge,
  Base,
  BaseImport,
  BasePrune,
  BaseQuantise,
  Dataset,
  DatasetImport,
} from '@fleetlora/shared/protocol';
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
    ...routeOf('quantiseBase'),
    schema: { params: ByIdOrName, body: BaseQuantise, response: creates(Base) },
    handler: async ({ params, body }, reply) =>
      reply.code(201).send(await catalog.quantiseBase(params.id, body)),
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
    ...routeOf('exportAdapter'),
    schema: { params: ByIdOrName, body: AdapterExport, response: creates(AdapterExported) },
    handler: async ({ params, body }, reply) =>
      reply.code(201).send(await catalog.exportAdapter(params.id, body)),
  });
  api.route({
    ...routeOf('pruneBase'),
    schema: { params: ByIdOrName, body: BasePrune, response: creates(Base) },
    handler: async ({ params, body }, reply) =>
      reply.code(201).send(await catalog.pruneBase(params.id, body)),
  });
  api.route({
    ...routeOf('mergeAdapter'),
    schema: { params: ByIdOrName, body: AdapterMerge, response: creates(Base) },
    handler: async ({ params, body }, reply) =>
      reply.code(201).send(await catalog.mergeAdapter(params.id, body)),
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
