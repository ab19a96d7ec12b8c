import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';

/**
 * A device went offline. The death of an earlier session can arrive after the birth of the next
 * one (the broker publishes a will when the old connection times out), so it counts only for the
 * session it names.
 */
export async function handleDeath(
  { store, clock, log }: FleetContext,
  deviceId: string,
  { session }: Message<'death'>,
): Promise<void> {
  const died = await store.transact(async ({ devices }) => {
    const device = await devices.find(deviceId);
    if (device === null || !device.online || device.session !== session) return false;
    await devices.update(deviceId, { online: false, lastSeenAtMs: clock.nowMs() });
    return true;
  });
  if (died) log.info({ deviceId, session }, 'device offline');
}
