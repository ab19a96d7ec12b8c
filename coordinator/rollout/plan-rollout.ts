import type { InstallState, Rollout, RolloutDevice, RolloutReport } from '@fleetlora/shared/protocol';
import { installStates } from '@fleetlora/shared/protocol';
import type { RolloutWithDevices, StoredRolloutDevice } from './ports.js';

/** What has to be done next. Every step can be repeated after a crash without harm. */
export type RolloutStep =
  | { readonly kind: 'send'; readonly rolloutId: string; readonly deviceId: string }
  | { readonly kind: 'fail'; readonly rolloutId: string; readonly deviceId: string; readonly reason: string }
  | {
      readonly kind: 'finish';
      readonly rolloutId: string;
      readonly state: Exclude<Rollout['state'], 'running'>;
    };

export interface RolloutContext {
  readonly online: ReadonlySet<string>;
  readonly nowMs: number;
  /** How long an online device may stay silent after it was sent `desired` or reported last. */
  readonly silenceMs: number;
}

const finalStates: readonly RolloutDevice['state'][] = ['succeeded', 'failed', 'rejected'];

/** Whether a device's part in a rollout is over. */
export function isFinal(state: RolloutDevice['state']): boolean {
  return finalStates.includes(state);
}

/**
 * The steps from what devices reported to what is desired of them:
 * - of a device that is in several running rollouts the newest is desired, the others fail;
 * - an online device that is owed `desired` is sent it; an offline one stays owed, for as long as
 *   it takes;
 * - an online device that was sent it and stays silent fails;
 * - a rollout ends when every device has: as succeeded only when all did.
 * @param rollouts running ones, oldest first
 */
export function planRollouts(
  rollouts: readonly RolloutWithDevices[],
  context: RolloutContext,
): RolloutStep[] {
  const newest = new Map(
    rollouts.flatMap((rollout) => rollout.devices.map(({ deviceId }) => [deviceId, rollout.id] as const)),
  );
  return rollouts.flatMap((rollout): RolloutStep[] => {
    const rolloutId = rollout.id;
    const open = rollout.devices.filter(({ state }) => !isFinal(state));
    if (open.length === 0) {
      const succeeded = rollout.devices.every(({ state }) => state === 'succeeded');
      return [{ kind: 'finish', rolloutId, state: succeeded ? 'succeeded' : 'failed' }];
    }
    return open.flatMap((device): RolloutStep[] => {
      const { deviceId } = device;
      const wanted = newest.get(deviceId);
      if (wanted !== undefined && wanted !== rolloutId)
        return [{ kind: 'fail', rolloutId, deviceId, reason: `superseded by rollout ${wanted}` }];
      if (!context.online.has(deviceId)) return [];
      if (device.sentAtMs === null) return [{ kind: 'send', rolloutId, deviceId }];
      const silentMs = context.nowMs - Math.max(device.sentAtMs, device.updatedAtMs);
      if (silentMs <= context.silenceMs) return [];
      const reason = `online but silent for ${Math.round(silentMs / 1000)} s in state ${device.state}, at most ${Math.round(context.silenceMs / 1000)} s are allowed`;
      return [{ kind: 'fail', rolloutId, deviceId, reason }];
    });
  });
}

/**
 * What a report changes in the device's row; null when it changes nothing: the device's part is
 * over, or the report is an older one that was delivered late.
 */
export function applyReport(
  device: StoredRolloutDevice,
  report: RolloutReport,
  nowMs: number,
): Partial<StoredRolloutDevice> | null {
  if (isFinal(device.state)) return null;
  // A device that was sent `desired` anew may begin anew.
  const restarted = device.sentAtMs !== null && device.sentAtMs >= device.updatedAtMs;
  if (!restarted && stepOf(report.state) < stepOf(device.state)) return null;
  return {
    state: report.state,
    reason: report.reason ?? null,
    healthy: report.healthy ?? device.healthy,
    checked: report.checked ?? device.checked,
    updatedAtMs: nowMs,
  };
}

const stepOf = (state: RolloutDevice['state']): number => installStates.indexOf(state as InstallState);
