import { protocolVersion } from './limits.js';

/** What a device says. `birth` is retained, `death` is its will. */
export const upKinds = ['birth', 'death', 'result', 'report', 'conditions', 'progress'] as const;
export type UpKind = (typeof upKinds)[number];
/** What a device is told. */
export const downKinds = ['job', 'cancel', 'ack', 'desired', 'policy'] as const;
export type DownKind = (typeof downKinds)[number];

const DEVICE_ID = /^dev_[0-9a-z]{10,40}$/;
const PREFIX = `fleetlora/v${protocolVersion}`;

export function isDeviceId(text: string): boolean {
  return DEVICE_ID.test(text);
}
export function upTopic(deviceId: string, kind: UpKind): string {
  return `${PREFIX}/${deviceId}/up/${kind}`;
}
export function downTopic(deviceId: string, kind: DownKind): string {
  return `${PREFIX}/${deviceId}/down/${kind}`;
}
/** The one subscription a device needs. */
export function downFilter(deviceId: string): string {
  return `${PREFIX}/${deviceId}/down/+`;
}

/** Splits a topic, or null when it is not one of ours. */
export function parseTopic(
  topic: string,
):
  | { deviceId: string; direction: 'up'; kind: UpKind }
  | { deviceId: string; direction: 'down'; kind: DownKind }
  | null {
  const [root, version, deviceId, direction, kind, ...rest] = topic.split('/');
  if (`${root}/${version}` !== PREFIX || !deviceId || !isDeviceId(deviceId) || rest.length > 0) return null;
  if (direction === 'up' && (upKinds as readonly string[]).includes(kind ?? ''))
    return { deviceId, direction, kind: kind as UpKind };
  if (direction === 'down' && (downKinds as readonly string[]).includes(kind ?? ''))
    return { deviceId, direction, kind: kind as DownKind };
  return null;
}
