import { Adapter, AdapterImport, Base, BaseImport, Dataset, DatasetImport } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, creates, routeOf } from './route.js';

/** Bases, super-adapters and data sets, made of files that were uploaded before. */
export function addModelRoutes(api: ApiScope, { catalog }: ApiDomains): void {
  api.route({
    ...routeOf('importBase'),
    schema: { summary: 'Import a base model', body: BaseImport, response: creates(Base) },
    handler: async ({ body }, reply) => reply.code(201).send(await catalog.importBase(body)),
  });
  api.route({
    ...routeOf('listBases'),
    schema: { summary: 'All base models', response: answers(Type.Array(Base)) },
    handler: () => catalog.listBases(),
  });
  api.route({
    ...routeOf('importAdapter'),
    schema: {
      summary: 'Import a PEFT LoRA as super-adapter',
      body: AdapterImport,
      response: creates(Adapter),
    },
    handler: async ({ body }, reply) => reply.code(201).send(await catalog.importAdapter(body)),
  });
  api.route({
    ...routeOf('listAdapters'),
    schema: { summary: 'All super-adapters', response: answers(Type.Array(Adapter)) },
    handler: () => catalog.listAdapters(),
  });
  api.route({
    ...routeOf('importDataset'),
    schema: { summary: 'Import a JSONL data set', body: DatasetImport, response: creates(Dataset) },
    handler: async ({ body }, reply) => reply.code(201).send(await catalog.importDataset(body)),
  });
  api.route({
    ...routeOf('listDatasets'),
    schema: { summary: 'All data sets', response: answers(Type.Array(Dataset)) },
    handler: () => catalog.listDatasets(),
  });
}
