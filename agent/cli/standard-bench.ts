import { join } from 'node:path';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { DeviceFacts } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { agentVersion, gateWaitsOf } from '../config.js';
import { type DataFolder, folderHolder, lockFolder, openDataFolder, sweepScratch } from '../folder/index.js';
import { gateLimitsOf, type Machine, openMachine } from '../host/index.js';
import { readDeviceFacts } from '../identity/index.js';
import { measureJob, type TellProgress } from '../measure/index.js';
import type { Measure } from '../qualify/index.js';
import type { GateOptions } from './gate-options.js';
import { noServing } from './no-serving.js';

/** Everything it takes to measure the standard candidate, while nobody else uses the data folder. */
export interface StandardBench {
  readonly folder: DataFolder;
  readonly facts: DeviceFacts;
  readonly machine: Machine;
  readonly measure: Measure;
  /** For the standard model's files; made and removed by who measures. */
  readonly scratch: string;
}

/**
 * Takes the data folder, made when there is none, and lets go of it after `work`. No enrolment is
 * needed.
 * @throws FOLDER_IN_USE while an agent runs on the folder: it would measure at the same time
 */
export async function withStandardBench<T>(
  root: string,
  options: GateOptions,
  env: NodeJS.ProcessEnv,
  onStep: TellProgress,
  work: (bench: StandardBench) => Promise<T>,
): Promise<T> {
  const limits = gateLimitsOf(gateWaitsOf(options, env));
  const folder = await openDataFolder(root);
  const holder = await folderHolder(folder.lock);
  if (holder !== null)
    throw new CodedError(
      'FOLDER_IN_USE',
      `the agent with process id ${holder} runs on ${root}, and two that measure at once disturb each other; stop it first`,
    );
  const lock = await lockFolder(folder.lock);
  try {
    await sweepScratch(folder);
    const clock = systemClock;
    const machine = await openMachine({ clock, limits });
    const doors = {
      clock,
      random: createRandom((clock.nowMs() ^ process.pid) >>> 0),
      machine,
      activity: noServing,
      onProgress: onStep,
    };
    return await work({
      folder,
      facts: await readDeviceFacts(agentVersion, createNodeRuntime()),
      machine,
      measure: (task) => measureJob(task, doors),
      scratch: join(folder.scratch, 'standard'),
    });
  } finally {
    await lock.release();
  }
}
