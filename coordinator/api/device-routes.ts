import { Device } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ByIdOrName, routeOf } from './route.js';

export function addDeviceRoutes(api: ApiScope, { fleet }: ApiDomains): void {
  api.route({
    ...routeOf('listDevices'),
    schema: { response: answers(Type.Array(Device)) },
    handler: () => fleet.listDevices(),
  });
  api.route({
    ...routeOf('showDevice'),
    schema: { params: ByIdOrName, response: answers(Device) },
    handler: ({ params }) => fleet.showDevice(params.id),
  });
  api.route({
    ...routeOf('qualifyDevice'),
    schema: { params: ByIdOrName, response: answers(Device) },
    handler: ({ params }) => fleet.qualify(params.id),
  });
}
