import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import { CodedError, findOutageIn } from '@fleetlora/shared/errors';
import { limits } from '@fleetlora/shared/protocol';
import { type FastifyBaseLogger, fastify, LogController } from 'fastify';
import { type Access, checkAccess } from './access.js';
import { addBackupRoutes } from './backup-routes.js';
import { addDeviceRoutes } from './device-routes.js';
import { type ApiDocument, describeApi, introduction, routeDocs, securitySchemes } from './docs/index.js';
import { answerTo } from './errors.js';
import { addFileRoutes } from './file-routes.js';
import { addIdentityRoutes } from './identity-routes.js';
import { addModelRoutes } from './model-routes.js';
import { addPolicyRoutes } from './policy-routes.js';
import type { ApiDomains } from './ports.js';
import { addReleaseRoutes } from './release-routes.js';
import { addRetentionRoutes } from './retention-routes.js';
import type { ApiScope } from './route.js';
import { addSearchRoutes } from './search-routes.js';
import { gateByStore } from './store-gate.js';
import { addTrainingRoutes } from './training-routes.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
}

/** The HTTP server of people and devices, not listening yet. */
export async function createApiServer(options: {
  domains: ApiDomains;
  log: FastifyBaseLogger;
  version: string;
}): Promise<ApiScope> {
  const { domains, log, version } = options;
  const server = fastify({
    loggerInstance: log,
    // One line for each request would drown what matters; failures are logged below.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.jsonBodyBytes,
    // Stopping must not wait for the idle keep-alive connections of clients.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 128 },
  }).withTypeProvider<TypeBoxTypeProvider>();
  server.setValidatorCompiler(TypeBoxValidatorCompiler);
  // Handlers are typed by the response schemas; a generated serializer would check unions again,
  // on the event loop, for every sample of every trial.
  server.setSerializerCompiler(() => (value) => JSON.stringify(value));
  server.setErrorHandler((error, request, reply) => {
    const { status, body } = answerTo(error);
    // An outage of the store is told once, by the store.
    if (status >= 500 && findOutageIn(error)?.code !== 'STORE_UNAVAILABLE')
      log.error({ err: error, method: request.method, url: request.url }, 'request failed');
    return reply.code(status).send(body);
  });
  server.setNotFoundHandler((request) => {
    throw new CodedError('NOT_FOUND', `no route ${request.method} ${request.url.slice(0, 200)}, see /docs`);
  });
  server.addHook('onRequest', async (request) => {
    checkAccess(request, request.routeOptions.config.access ?? 'anyone', domains.identity);
  });
  await server.register(swagger, {
    openapi: {
      // 3.1 takes JSON Schema as it is: 3.0 has no null and no const.
      openapi: '3.1.0',
      info: { title: 'fleetlora coordinator', version, description: introduction },
      components: { securitySchemes },
    },
    convertConstToEnum: false,
    transformObject: (documents) =>
      'openapiObject' in documents
        ? describeApi(documents.openapiObject as ApiDocument, routeDocs)
        : documents.swaggerObject,
  });
  await server.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { title: 'fleetlora API' },
    uiConfig: { docExpansion: 'list', defaultModelsExpandDepth: -1, displayRequestDuration: true },
  });
  server.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/docs'));
  await server.register(async (scope) => {
    gateByStore(scope, domains.store);
    for (const add of groups) add(scope.withTypeProvider<TypeBoxTypeProvider>(), domains);
  });
  return server;
}

const groups = [
  addIdentityRoutes,
  addDeviceRoutes,
  addPolicyRoutes,
  addFileRoutes,
  addModelRoutes,
  addTrainingRoutes,
  addSearchRoutes,
  addReleaseRoutes,
  addRetentionRoutes,
  addBackupRoutes,
];
