import type { Clock } from '@fleetlora/shared/clock';
import type { Device, Message, UpKind } from '@fleetlora/shared/protocol';
import type { CampaignFleet } from '../campaign/ports.js';
import type { HostMeasuring } from '../host/index.js';
import type { RolloutFleet } from '../rollout/ports.js';
import { createCampaignFleet } from './campaign-fleet.js';
import type { FleetContext, FleetLog } from './context.js';
import { createDevicePolicies, type DevicePolicies } from './device-policies.js';
import { dispatch } from './dispatch.js';
import { handleBirth } from './handle-birth.js';
import { handleConditions } from './handle-conditions.js';
import { handleDeath } from './handle-death.js';
import { handleProgress } from './handle-progress.js';
import { handleReport } from './handle-report.js';
import { handleResult } from './handle-result.js';
import { createJobDeadlines } from './job-deadlines.js';
import { createJobProgress } from './job-progress.js';
import { createListeners } from './listeners.js';
import type { Downlink, FleetStore } from './ports.js';
import { createPostponements } from './postponements.js';
import { type QualifyTime, requestQualification, takeQualificationEnd } from './qualify-devices.js';
import { createQualifyWants } from './qualify-wants.js';
import { createRolloutFleet } from './rollout-fleet.js';
import { listDevices, showDevice } from './show-devices.js';
import { createPolicyTeller } from './tell-policies.js';

export interface Fleet {
  /** Nobody is online until their birth arrives: called once, before the broker listens. */
  start(): Promise<void>;
  /** Takes a checked message; what it says is committed when the promise resolves. */
  receive<K extends UpKind>(deviceId: string, kind: K, message: Message<K>): Promise<void>;
  /** Ends jobs whose time is up, and asks devices whose time has come; called about once a second. */
  checkDeadlines(): Promise<void>;
  /** What jobs have waited so far does not count: called while no answer could be stored. */
  restartDeadlines(): void;
  listDevices(): Promise<Device[]>;
  /** @throws NOT_FOUND */
  showDevice(idOrName: string): Promise<Device>;
  /** Replaces the labels of a device. @throws NOT_FOUND, BAD_REQUEST */
  setLabels(idOrName: string, labels: readonly string[]): Promise<Device>;
  /**
   * Asks a device whether it is steady; the answer comes when it has measured. Harmless while it is
   * being asked. @throws NOT_FOUND, DEVICE_OFFLINE, STATE_CONFLICT
   */
  qualify(idOrName: string): Promise<Device>;
  readonly policies: Pick<DevicePolicies, 'list' | 'set' | 'remove'>;
  readonly forCampaign: CampaignFleet;
  readonly forRollout: RolloutFleet;
}

/** Devices, their presence and their jobs. */
export function createFleet(options: {
  store: FleetStore;
  downlink: Downlink;
  clock: Clock;
  newId: (prefix: string) => string;
  log: FleetLog;
  host: HostMeasuring;
  /** Absent: at a birth that needs it. */
  qualify?: QualifyTime | undefined;
}): Fleet {
  const { store, log, clock, host, qualify = 'atBirth' } = options;
  const onError = (error: unknown): void => log.error({ err: error }, 'a listener of the fleet failed');
  const context: FleetContext = {
    ...options,
    jobEnded: createListeners(onError),
    devicesChanged: createListeners(onError),
    born: createListeners(onError),
    reportHandlers: new Set(),
    lastServed: new Map(),
    tellPolicies: createPolicyTeller(options),
    conditionsToldAtMs: new Map(),
    postponements: createPostponements(clock),
    progress: createJobProgress(clock),
    qualify,
    wants: createQualifyWants(clock),
  };
  context.jobEnded.add((job) => {
    context.progress.forget(job.id);
    takeQualificationEnd(context, job);
  });
  host.onGranted(() => void dispatch(context).catch(onError));
  const handlers: { [K in UpKind]: (deviceId: string, message: Message<K>) => Promise<void> } = {
    birth: (deviceId, message) => handleBirth(context, deviceId, message),
    death: (deviceId, message) => handleDeath(context, deviceId, message),
    result: (deviceId, message) => handleResult(context, deviceId, message),
    report: (deviceId, message) => handleReport(context, deviceId, message),
    progress: (deviceId, message) => handleProgress(context, deviceId, message),
    conditions: (deviceId, message) => handleConditions(context, deviceId, message),
  };
  const deadlines = createJobDeadlines(context);
  const policies = createDevicePolicies(context);
  return {
    async start() {
      await store.devices.markAllOffline();
      // A device on this machine may be measuring since before the last stop.
      await dispatch(context);
    },
    receive: (deviceId, kind, message) => handlers[kind](deviceId, message),
    async checkDeadlines() {
      await deadlines.check();
      if (host.state !== 'idle') await dispatch(context);
    },
    restartDeadlines: () => deadlines.restart(),
    listDevices: () => listDevices(context),
    showDevice: (idOrName) => showDevice(context, idOrName),
    async setLabels(idOrName, labels) {
      return showDevice(context, await policies.setLabels(idOrName, labels));
    },
    async qualify(idOrName) {
      return showDevice(context, await requestQualification(context, idOrName));
    },
    policies,
    forCampaign: createCampaignFleet(context),
    forRollout: createRolloutFleet(context),
  };
}
