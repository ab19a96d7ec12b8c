import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, isCoded } from '@fleetlora/shared/errors';
import type { Rollout, RolloutReport, RolloutStart } from '@fleetlora/shared/protocol';
import { applyReport, isFinal, planRollouts, type RolloutStep } from './plan-rollout.js';
import type {
  RolloutFleet,
  RolloutReleases,
  RolloutRepository,
  RolloutTarget,
  RolloutWithDevices,
  StoredRolloutDevice,
} from './ports.js';

/** A device on a slow link downloads a base in this time, or reports its progress. */
const SILENCE_MS = 15 * 60_000;
const CHECK_EVERY_MS = 5_000;

export interface Rollouts {
  /**
   * Makes the release desired on the named devices and on all devices of the class.
   * @throws NOT_FOUND (release, device), BAD_REQUEST (no device)
   */
  start(spec: RolloutStart): Promise<Rollout>;
  /** Newest first. */
  list(): Promise<Rollout[]>;
  /** @throws NOT_FOUND */
  show(id: string): Promise<Rollout>;
  /** Takes up the rollouts that were running when the process ended. Called once, at the start. */
  resume(): Promise<void>;
  /** Performs what is due now; also happens by itself at every event and every few seconds. */
  check(): Promise<void>;
  close(): Promise<void>;
}

export interface RolloutOptions {
  readonly repository: RolloutRepository;
  readonly fleet: RolloutFleet;
  readonly releases: RolloutReleases;
  readonly clock: Clock;
  readonly newId: (prefix: string) => string;
  readonly silenceMs?: number;
  /** 0: only events and `check` look for silent devices. */
  readonly checkEveryMs?: number;
  readonly log?: { error(details: object, message: string): void };
}

/**
 * Performs the steps that `planRollouts` finds.
 *
 * Invariant: rows of rollouts are read and written in one task at a time, so a plan never acts on
 * a row that a report is changing.
 */
export function createRollouts(options: RolloutOptions): Rollouts {
  const { repository, fleet, releases, clock, newId } = options;
  const silenceMs = options.silenceMs ?? SILENCE_MS;
  const checkEveryMs = options.checkEveryMs ?? CHECK_EVERY_MS;
  let tail: Promise<unknown> = Promise.resolve();
  let closed = false;
  /** When it was last looked what is due; null before the first time. */
  let lookedAtMs: number | null = null;

  /** Runs tasks one after another. */
  function exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = tail.then(task);
    tail = result.catch(() => {});
    return result;
  }
  const check = (): Promise<void> => exclusive(async () => (closed ? undefined : performDue()));
  /** For callers that nobody waits for. */
  const inBackground = (task: Promise<void>): void => {
    task.catch((error: unknown) => options.log?.error({ err: error }, 'rollout step failed'));
  };

  async function performDue(): Promise<void> {
    const gaveUp = new Set<string>();
    // Performing steps makes others due (the last device's failure ends its rollout): go on until none is.
    for (;;) {
      const running = await repository.listRunningRollouts();
      const unseenMs = clock.nowMs() - (lookedAtMs ?? clock.nowMs());
      lookedAtMs = clock.nowMs();
      if (running.length === 0) return;
      // The store was away, or the machine slept: what devices reported meanwhile may still wait to
      // be stored, so their silence counts anew, as after a restart.
      if (checkEveryMs > 0 && unseenMs > silenceMs / 2) {
        await oweAgain(() => true);
        continue;
      }
      const targets = await fleet.listTargets();
      const online = new Set(
        targets.filter(({ id, online }) => online && !gaveUp.has(id)).map(({ id }) => id),
      );
      const steps = planRollouts(running, { online, nowMs: clock.nowMs(), silenceMs });
      if (steps.length === 0) return;
      for (const step of steps) {
        const rollout = running.find(({ id }) => id === step.rolloutId) as RolloutWithDevices;
        if (!(await perform(step, rollout)) && step.kind === 'send') gaveUp.add(step.deviceId);
      }
    }
  }

  /** False when the device went offline meanwhile: it stays owed. */
  async function perform(step: RolloutStep, rollout: RolloutWithDevices): Promise<boolean> {
    if (step.kind === 'finish') {
      await repository.updateRollout(rollout.id, step.state);
      return true;
    }
    if (step.kind === 'fail') {
      const change = { state: 'failed', reason: step.reason, updatedAtMs: clock.nowMs() } as const;
      await repository.updateRolloutDevice(rollout.id, step.deviceId, change);
      return true;
    }
    const { id: rolloutId, releaseId, manifestDigest } = rollout;
    try {
      await fleet.sendDesired(step.deviceId, { rolloutId, releaseId, manifestDigest });
    } catch (error) {
      if (isCoded(error, 'DEVICE_OFFLINE')) return false;
      throw error;
    }
    // Sent first, stored second: a crash in between sends twice, never not at all.
    await repository.updateRolloutDevice(rolloutId, step.deviceId, { sentAtMs: clock.nowMs() });
    return true;
  }

  async function takeReport(deviceId: string, report: RolloutReport): Promise<void> {
    const rollout = await repository.findRollout(report.rolloutId);
    const device = rollout?.devices.find((candidate) => candidate.deviceId === deviceId);
    // Not ours (a data folder that was put back, a stranger's id): nothing to keep, so it may go.
    if (!rollout || !device || rollout.releaseId !== report.releaseId) return;
    const change = applyReport(device, report, clock.nowMs());
    if (change) await repository.updateRolloutDevice(rollout.id, deviceId, change);
  }

  /** A device that was away may have missed `desired`, or lost what it had begun. */
  async function oweAgain(isConcerned: (device: StoredRolloutDevice) => boolean): Promise<void> {
    for (const rollout of await repository.listRunningRollouts()) {
      for (const device of rollout.devices) {
        if (!isFinal(device.state) && device.sentAtMs !== null && isConcerned(device))
          await repository.updateRolloutDevice(rollout.id, device.deviceId, { sentAtMs: null });
      }
    }
  }

  const stopListening = [
    fleet.onReport(async (deviceId, report) => {
      await exclusive(() => takeReport(deviceId, report));
      inBackground(check());
    }),
    fleet.onBirth((deviceId) => {
      inBackground(exclusive(() => oweAgain((device) => device.deviceId === deviceId)).then(check));
    }),
  ];
  let looking = false;
  /** One at a time: while the store is away they would only pile up. */
  const look = (): void => {
    if (looking) return;
    looking = true;
    inBackground(
      check().finally(() => {
        looking = false;
      }),
    );
  };
  const timer = checkEveryMs > 0 ? setInterval(look, checkEveryMs) : undefined;
  timer?.unref();

  async function resolveTargets(spec: RolloutStart): Promise<RolloutTarget[]> {
    const named = await Promise.all((spec.devices ?? []).map((name) => fleet.findTarget(name)));
    const ofClass = spec.deviceClass === undefined ? [] : await fleet.listTargets(spec.deviceClass);
    const targets = [...new Map([...named, ...ofClass].map((target) => [target.id, target])).values()];
    if (targets.length === 0) {
      const found =
        spec.deviceClass === undefined
          ? 'neither devices nor a class is named'
          : `class "${spec.deviceClass}" has no device`;
      throw new CodedError('BAD_REQUEST', `rollout: ${found}, wanted at least one device`);
    }
    return targets;
  }

  return {
    async start(spec) {
      const release = await releases.findRelease(spec.release);
      const targets = await resolveTargets(spec);
      const nowMs = clock.nowMs();
      const rollout = {
        id: newId('roll'),
        releaseId: release.id,
        state: 'running',
        manifestDigest: release.manifestDigest,
        createdAtMs: nowMs,
      } as const;
      const devices = targets.map(
        ({ id, name }): StoredRolloutDevice => ({
          rolloutId: rollout.id,
          deviceId: id,
          name,
          state: 'waiting',
          reason: null,
          healthy: null,
          checked: null,
          updatedAtMs: nowMs,
          sentAtMs: null,
        }),
      );
      await exclusive(() => repository.insertRollout(rollout, devices));
      await check();
      return this.show(rollout.id);
    },
    async list() {
      return (await repository.listRollouts()).map(publish);
    },
    async show(id) {
      const rollout = await repository.findRollout(id);
      if (!rollout) throw new CodedError('NOT_FOUND', `there is no rollout "${id}"`);
      return publish(rollout);
    },
    async resume() {
      await exclusive(() => oweAgain(() => true));
      await check();
    },
    check,
    async close() {
      clearInterval(timer);
      for (const stop of stopListening) stop();
      await exclusive(async () => {
        closed = true;
      });
    },
  };
}

/** The rollout as the API shows it. */
function publish({ id, releaseId, state, devices, createdAtMs }: RolloutWithDevices): Rollout {
  return {
    id,
    releaseId,
    state,
    createdAtMs,
    devices: devices.map(({ rolloutId, sentAtMs, ...device }) => device),
  };
}
