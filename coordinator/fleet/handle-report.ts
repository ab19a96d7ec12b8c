import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { tellDevice } from './tell-device.js';

/** A device told how far an installation is. Acknowledged when every handler has stored it. */
export async function handleReport(
  context: FleetContext,
  deviceId: string,
  { id, body }: Message<'report'>,
): Promise<void> {
  const { store, clock, reportHandlers } = context;
  await store.devices.update(deviceId, {
    lastSeenAtMs: clock.nowMs(),
    ...(body.state === 'succeeded' ? { installedReleaseId: body.releaseId } : {}),
  });
  for (const handle of reportHandlers) await handle(deviceId, body);
  await tellDevice(context, deviceId, 'ack', { ids: [id] });
}
