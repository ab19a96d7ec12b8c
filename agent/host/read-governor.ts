import { join } from 'node:path';
import { listNames, readText } from './read-text.js';

/** Longest text of a fact. */
const MAX_TEXT = 256;

/**
 * The governor of cpufreq: one name when all cores agree, else all names joined by commas; null
 * where the kernel does not set the frequency.
 * @param root of the file system, another one for recorded machines
 * @source Documentation/admin-guide/pm/cpufreq.rst: scaling_governor, one folder a policy
 */
export async function readGovernor(root = '/'): Promise<string | null> {
  const names = new Set<string>();
  for (const folder of await listFrequencyPolicies(root)) {
    const name = await readText(join(folder, 'scaling_governor'));
    if (name) names.add(name);
  }
  return names.size === 0 ? null : [...names].sort().join(',').slice(0, MAX_TEXT);
}

/** Folders of the cpufreq policies, each of which holds for one core or several. */
export async function listFrequencyPolicies(root: string): Promise<string[]> {
  const folder = join(root, 'sys/devices/system/cpu/cpufreq');
  return (await listNames(folder, /^policy\d+$/)).map((name) => join(folder, name));
}
