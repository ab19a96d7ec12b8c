import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { dispatch } from './dispatch.js';

/** A device told what its policy allows at present: jobs that waited for it get their turn. */
export async function handleConditions(
  context: FleetContext,
  deviceId: string,
  { body }: Message<'conditions'>,
): Promise<void> {
  const { store, clock } = context;
  await store.devices.update(deviceId, { conditions: body, lastSeenAtMs: clock.nowMs() });
  await dispatch(context);
  context.devicesChanged.notify();
}
