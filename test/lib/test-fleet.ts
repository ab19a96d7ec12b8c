import { join } from 'node:path';
import { createFleet, type Downlink, type Fleet, type QualifyTime } from '@fleetlora/coordinator/fleet';
import { createHostLease, type HostLease } from '@fleetlora/coordinator/host';
import { openStore, type Store } from '@fleetlora/coordinator/store';
import {
  type Birth,
  type DeviceFacts,
  type DownKind,
  defaultMeasurePlan,
  type MeasureJob,
  type Measurement,
  type MessageBody,
  type Qualification,
} from '@fleetlora/shared/protocol';
import type { Test } from 'tap';
import { createManualClock, type ManualClock } from './manual-clock.js';
import { temporaryFolder } from './running-coordinator.js';
import { testFacts } from './test-device.js';

export interface Sent {
  readonly deviceId: string;
  readonly kind: DownKind;
  readonly body: MessageBody<DownKind>;
}

export interface TestFleet {
  readonly fleet: Fleet;
  readonly store: Store;
  readonly clock: ManualClock;
  /** Of the machine with the boot id "host". */
  readonly host: HostLease;
  /** What devices were told since the last `take`. */
  take(): Sent[];
  enrol(id: string, bootId?: string, facts?: Partial<DeviceFacts>): Promise<string>;
  birth(deviceId: string, session: number, changes?: Partial<Birth>): Promise<void>;
  /** Submits a job of 10 s for a trial. */
  submit(deviceId: string, trialId?: string): Promise<string>;
}

export const jobBody: Omit<MeasureJob, 'jobId'> = {
  genome: 'g1:u:8.8.8.8.100/8.8.8.8.100',
  baseDigest: 'a'.repeat(64),
  adapterDigest: 'b'.repeat(64),
  plan: defaultMeasurePlan,
  timeoutMs: 10_000,
};

export const measurement: Measurement = {
  plan: defaultMeasurePlan,
  runtime: 'onnxruntime-node 1.30.0',
  provider: 'cpu',
  coldLoadMs: 10,
  warmLoadMs: 5,
  prefill: { p50Ms: 20, p90Ms: 21, n: 1, samplesMs: [20] },
  decode: { p50Ms: 2, p90Ms: 3, n: 2, samplesMs: [2, 3] },
  baselineBytes: 1,
  peakBytes: 2,
  anonymousBytes: 1,
  shippedBytes: 1000,
};

/** Of a device with `testFacts`. */
export const testQualification: Qualification = {
  accepted: true,
  spreadPercent: 2,
  limitPercent: 5,
  runs: [99, 100, 100, 100, 101].map((decodeMs) => ({ prefillMs: 40, decodeMs })),
  standard: 'standard-1',
  threads: 1,
  agentVersion: testFacts.agentVersion,
  runtime: testFacts.runtime,
  provider: testFacts.provider,
  cpuModel: testFacts.cpuModel,
  machine: {
    temperatureStartC: null,
    temperatureEndC: null,
    throttled: null,
    onMains: null,
    governor: null,
    otherCores: null,
    waitedMs: { cooling: 0, quiet: 0, serving: 0 },
    retakenSessions: 0,
  },
  flags: [],
};

/**
 * A fleet over a real SQLite file whose transport only writes down what it is handed.
 * @param qualify on request when absent, so that devices get the jobs of the test and no others
 */
export async function openTestFleet(
  t: Test,
  folder?: string,
  qualify: QualifyTime = 'onRequest',
): Promise<TestFleet> {
  const store = await openStore(join(folder ?? (await temporaryFolder(t)), 'fleet.db'));
  t.teardown(() => store.close());
  const clock = createManualClock();
  const sent: Sent[] = [];
  const downlink: Downlink = {
    send: async (deviceId, kind, body) => void sent.push({ deviceId, kind, body }),
  };
  const host = createHostLease({ bootId: 'host' });
  let ids = 0;
  const newId = (prefix: string): string => `${prefix}_${String(++ids).padStart(26, '0')}`;
  const log = { info() {}, warn() {}, error: (fields: object, text: string) => t.fail(text, fields) };
  const fleet = createFleet({
    store: store.fleet,
    downlink,
    clock,
    newId,
    log,
    host: host.measuring,
    qualify,
  });
  return {
    fleet,
    store,
    clock,
    host,
    take: () => sent.splice(0),
    async enrol(name, bootId = '', facts = {}) {
      const id = newId('dev');
      await store.identity.devices.insertEnrolled({
        id,
        name,
        deviceClass: 'board',
        publicKey: name,
        facts: { ...testFacts, bootId, ...facts },
        enrolledAtMs: clock.nowMs(),
      });
      return id;
    },
    async birth(deviceId, session, changes = {}) {
      const facts = (await fleet.showDevice(deviceId)).facts;
      const body = { facts, heldJobIds: [], installedReleaseId: null, serveUrl: null, ...changes };
      await fleet.receive(deviceId, 'birth', { v: 1, id: 'birth', session, body });
    },
    submit: (deviceId, trialId = 'trl_00000000000000000000000001') =>
      fleet.forCampaign.submit({
        kind: 'trial',
        searchId: 'srch_0000000000',
        trialIds: [trialId],
        deviceId,
        body: jobBody,
      }),
  };
}
