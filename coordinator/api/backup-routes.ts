import type { ApiDomains } from './ports.js';
import { type ApiScope, routeOf } from './route.js';

/** Everything the coordinator remembers, as one archive. */
export function addBackupRoutes(api: ApiScope, { backups }: ApiDomains): void {
  api.route({
    ...routeOf('backup'),
    // A HEAD would make a whole backup to tell nothing.
    exposeHeadRoute: false,
    schema: { produces: ['application/x-tar'] },
    handler: async (_request, reply) => {
      const archive = await backups.open();
      // Answered meanwhile, since the store went away: unread, it would keep its files for ever.
      if (reply.sent) {
        archive.destroy();
        return reply;
      }
      return reply
        .header('content-type', 'application/x-tar')
        .header('content-disposition', 'attachment; filename="fleetlora-backup.tar"')
        .send(archive);
    },
  });
}
