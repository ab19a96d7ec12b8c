export { createApiServer } from './api-server.js';
export { receiveUpload } from './file-routes.js';
export type * from './ports.js';
