import { join } from 'node:path';
import { createFleet, type Downlink, type Fleet } from '@fleetlora/coordinator/fleet';
import { openStore, type Store } from '@fleetlora/coordinator/store';
import {
  type Birth,
  type DownKind,
  defaultMeasurePlan,
  type MeasureJob,
  type Measurement,
  type MessageBody,
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
  /** What devices were told since the last `take`. */
  take(): Sent[];
  enrol(id: string, bootId?: string): Promise<string>;
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

/** A fleet over a real SQLite file whose transport only writes down what it is handed. */
export async function openTestFleet(t: Test, folder?: string): Promise<TestFleet> {
  const store = await openStore(join(folder ?? (await temporaryFolder(t)), 'fleet.db'));
  t.teardown(() => store.close());
  const clock = createManualClock();
  const sent: Sent[] = [];
  const downlink: Downlink = {
    send: async (deviceId, kind, body) => void sent.push({ deviceId, kind, body }),
  };
  let ids = 0;
  const newId = (prefix: string): string => `${prefix}_${String(++ids).padStart(26, '0')}`;
  const log = { info() {}, warn() {}, error: (fields: object, text: string) => t.fail(text, fields) };
  const fleet = createFleet({ store: store.fleet, downlink, clock, newId, log });
  return {
    fleet,
    store,
    clock,
    take: () => sent.splice(0),
    async enrol(name, bootId = '') {
      const id = newId('dev');
      await store.identity.devices.insertEnrolled({
        id,
        name,
        deviceClass: 'board',
        publicKey: name,
        facts: { ...testFacts, bootId },
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
