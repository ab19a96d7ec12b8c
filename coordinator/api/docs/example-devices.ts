import type { Device } from '@fleetlora/shared/protocol';
import { ids, times } from './example-names.js';

export const board: Device = {
  id: ids.device,
  name: 'kitchen-pi',
  deviceClass: 'raspberry-pi-5',
  facts: {
    agentVersion: '0.1.0',
    hostname: 'kitchen-pi',
    os: 'linux 6.12',
    arch: 'arm64',
    cpuModel: 'Cortex-A76',
    cores: 4,
    memoryBytes: 8 * 1024 ** 3,
    runtime: 'onnxruntime-node 1.30.0',
    provider: 'cpu',
    bootId: '1f0c2a34-5b6d-4e7f-8a90-1b2c3d4e5f60',
  },
  online: true,
  lastSeenAtMs: times.searched,
  enrolledAtMs: times.started + 60_000,
  installedReleaseId: null,
  serveUrl: 'http://127.0.0.1:7412',
  runningJobId: null,
  queuedJobs: 0,
  labels: ['kitchen'],
  conditions: {
    mayMeasure: false,
    reasons: ['policy of class raspberry-pi-5: outside 22:00-06:00'],
    onMains: true,
    temperatureC: 51.5,
    metered: false,
    localTime: '15:30',
  },
  idleReason: 'policy of class raspberry-pi-5: outside 22:00-06:00, now 15:30 there',
};
