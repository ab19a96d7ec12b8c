import { arch, availableParallelism, cpus, hostname, platform, release, totalmem } from 'node:os';
import type { DeviceFacts } from '@fleetlora/shared/protocol';
import type { Runtime } from '@fleetlora/shared/runtime';
import { readBootId } from '../folder/index.js';

/** Longest text of a fact. */
const MAX_TEXT = 256;

/** What this machine is, as told at enrolment and at every birth. */
export async function readDeviceFacts(agentVersion: string, runtime: Runtime): Promise<DeviceFacts> {
  const text = (value: string): string => value.slice(0, MAX_TEXT);
  return {
    agentVersion: text(agentVersion),
    hostname: text(hostname()),
    os: text(`${platform()} ${release()}`),
    arch: text(arch()),
    cpuModel: text(cpus()[0]?.model.trim() || 'unknown'),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    runtime: text(runtime.version),
    provider: text(runtime.provider),
    bootId: (await readBootId()).slice(0, 64),
  };
}
