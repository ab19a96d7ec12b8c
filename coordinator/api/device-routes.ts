import { Device } from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, ByIdOrName, routeOf } from './route.js';

export function addDeviceRoutes(api: ApiScope, { fleet }: ApiDomains): void {
  api.route({
    ...routeOf('listDevices'),
    schema: { summary: 'All devices, and why they idle', response: answers(Type.Array(Device)) },
    handler: () => fleet.listDevices(),
  });
  api.route({
    ...routeOf('showDevice'),
    schema: { summary: 'One device, by id or name', params: ByIdOrName, response: answers(Device) },
    handler: ({ params }) => fleet.showDevice(params.id),
  });
}
