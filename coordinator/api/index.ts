export { createApiServer } from './api-server.js';
export { type RouteDoc, routeDocs } from './docs/index.js';
export { receiveUpload } from './file-routes.js';
export type * from './ports.js';
