import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceFacts, ReportedSensors, ReportedSoftware } from '@fleetlora/shared/protocol';
import { type Machine, readThermalZones } from '../host/index.js';

const MAX_TEXT = 256;
const MAX_THERMOMETERS = 256;

/** What this machine can tell of itself while it measures. */
export async function readSensors(machine: Machine, root = '/'): Promise<ReportedSensors> {
  const { onMains, governor } = await machine.state();
  const zones = await readThermalZones(root);
  const watch = await machine.watch();
  return {
    thermometers: zones.slice(0, MAX_THERMOMETERS),
    throttling: (await watch.end()).throttled !== null,
    governor,
    onMains,
    energy: (await machine.energyMeter())?.source ?? null,
  };
}

/** What runs on this machine. */
export async function readSoftware(
  facts: Pick<DeviceFacts, 'agentVersion' | 'runtime' | 'provider' | 'os'>,
  root = '/',
): Promise<ReportedSoftware> {
  return {
    agent: facts.agentVersion,
    runtime: facts.runtime,
    provider: facts.provider,
    node: process.versions.node,
    os: facts.os,
    distribution: prettyNameOf(await readFile(join(root, 'etc/os-release'), 'utf8').catch(() => '')),
  };
}

/** The name of a distribution for people. @source os-release(5): PRETTY_NAME, in quotes of either kind or none */
export function prettyNameOf(release: string): string | null {
  const value = /^PRETTY_NAME=(.*)$/m.exec(release)?.[1]?.trim() ?? '';
  return value.replace(/^(["'])(.*)\1$/, '$2').slice(0, MAX_TEXT) || null;
}
