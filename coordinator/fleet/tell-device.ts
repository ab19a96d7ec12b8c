import type { DownKind, MessageBody } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';

/**
 * Publishes to a device. A failure is only logged, because what it follows is committed already
 * and must be carried on with; the device's next birth or resend repairs the loss.
 */
export async function tellDevice<K extends DownKind>(
  { downlink, log }: Pick<FleetContext, 'downlink' | 'log'>,
  deviceId: string,
  kind: K,
  body: MessageBody<K>,
): Promise<void> {
  try {
    await downlink.send(deviceId, kind, body);
  } catch (error) {
    log.error({ err: error, deviceId, kind }, 'message to a device could not be sent');
  }
}
