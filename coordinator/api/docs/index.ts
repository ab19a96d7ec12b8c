import type { routes } from '@fleetlora/shared/protocol';
import { compressionDocs } from './compression-docs.js';
import { deviceDocs } from './device-docs.js';
import { fileDocs } from './file-docs.js';
import { modelDocs } from './model-docs.js';
import { releaseDocs } from './release-docs.js';
import type { RouteDoc } from './route-doc.js';
import { searchDocs } from './search-docs.js';
import { serviceDocs } from './service-docs.js';
import { trainingDocs } from './training-docs.js';
import { upkeepDocs } from './upkeep-docs.js';

export { type ApiDocument, describeApi, securitySchemes } from './describe-api.js';
export { introduction } from './introduction.js';
export type { RouteDoc } from './route-doc.js';

/** What is told of each route; a route without it does not compile. */
export const routeDocs: Readonly<Record<keyof typeof routes, RouteDoc>> = {
  ...serviceDocs,
  ...fileDocs,
  ...modelDocs,
  ...compressionDocs,
  ...trainingDocs,
  ...deviceDocs,
  ...searchDocs,
  ...releaseDocs,
  ...upkeepDocs,
};
