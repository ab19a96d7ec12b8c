import type { Message } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { dispatch } from './dispatch.js';
import { afterJobsEnded } from './end-job.js';
import { postponeQueued, refusalOf } from './postpone-jobs.js';
import { askDue, wantQualification } from './qualify-devices.js';

/**
 * A device told whether it may measure at present. When it may not, the jobs that wait for it go
 * to others; when it may again, it gets its turn. What a lost session said of the device is old.
 */
export async function handleConditions(
  context: FleetContext,
  deviceId: string,
  { session, body }: Message<'conditions'>,
): Promise<void> {
  const { store, clock, log } = context;
  const told = await store.transact(async (repositories) => {
    const device = await repositories.devices.find(deviceId);
    if (!device?.online || device.session !== session) return null;
    await repositories.devices.update(deviceId, { conditions: body, lastSeenAtMs: clock.nowMs() });
    const refusal = refusalOf({ conditions: body });
    const ended =
      refusal === null ? [] : await postponeQueued(repositories, deviceId, refusal, clock.nowMs());
    return { device, ended, refusal, changed: device.conditions?.mayMeasure !== body.mayMeasure };
  });
  if (told === null) return;
  context.conditionsToldAtMs.set(deviceId, clock.monotonicMs());
  if (told.changed)
    log.info(
      { deviceId, reason: told.refusal },
      told.refusal ? 'device may not measure' : 'device may measure',
    );
  if (told.ended.length > 0) return afterJobsEnded(context, told.ended);
  if (told.changed && told.refusal === null) wantQualification(context, told.device);
  await askDue(context);
  await dispatch(context);
  context.devicesChanged.notify();
}
