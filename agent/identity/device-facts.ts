import { arch, availableParallelism, cpus, hostname, platform, release, totalmem } from 'node:os';
import type { DeviceFacts } from '@fleetlora/shared/protocol';
import type { Runtime } from '@fleetlora/shared/runtime';
import { readBootId } from '../folder/index.js';
import { readArmCore, readThisEmulation } from '../host/index.js';

/** Longest text of a fact. */
const MAX_TEXT = 256;

/** What this machine is, as told at enrolment and at every birth. */
export async function readDeviceFacts(
  agentVersion: string,
  runtime: Pick<Runtime, 'version' | 'provider'>,
): Promise<DeviceFacts> {
  const text = (value: string): string => value.slice(0, MAX_TEXT);
  const { emulated, model } = await readThisEmulation();
  const cpuModel = emulated ? `emulated ${model ?? `${arch()} processor`}` : await readCpuModel();
  return {
    agentVersion: text(agentVersion),
    hostname: text(hostname()),
    os: text(`${platform()} ${release()}`),
    arch: text(arch()),
    cpuModel: text(cpuModel),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    runtime: text(runtime.version),
    provider: text(runtime.provider),
    bootId: (await readBootId()).slice(0, 64),
    ...(emulated ? { emulated } : {}),
  };
}

/** Where the system has no name for the processor, as on many boards, the design of its first core. */
async function readCpuModel(): Promise<string> {
  const named = cpus()[0]?.model.trim() ?? '';
  return named === '' || named === 'unknown' ? ((await readArmCore()) ?? 'unknown') : named;
}
