import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MeasureDoors, MeasureTask } from '@fleetlora/agent/measure';
import { systemClock } from '@fleetlora/shared/clock';
import { createRandom } from '@fleetlora/shared/random';
import { encodeGenome, type Form, uniformGenome } from '@fleetlora/shared/space';
import type { Test } from 'tap';
import { layTinyModel } from './laid-models.js';
import { idle, scriptMachine } from './scripted-machine.js';
import { tempFolder } from './temp-folder.js';

/** A candidate of the tiny model with the same choice in both layers. */
export function genomeText(form: Form, rank = 4, width = 8, layers = 2): string {
  return encodeGenome(uniformGenome(layers, rank, width, form));
}

/** The tiny model's files in a folder of their own, and a task to measure a candidate of it. */
export async function openMeasureTask(t: Test, changes: Partial<MeasureTask> = {}): Promise<MeasureTask> {
  const folder = await tempFolder(t);
  const model = await layTinyModel();
  await writeFile(join(folder, 'base'), model.base);
  await writeFile(join(folder, 'adapter'), model.adapter);
  return {
    folder,
    base: 'base',
    adapter: 'adapter',
    baseDigest: model.baseDigest,
    adapterDigest: model.adapterDigest,
    genome: genomeText('unmerged'),
    plan: { promptTokens: 8, kvTokens: 16, prefillRepeats: 3, decodeRepeats: 5, threads: 1 },
    scratch: join(folder, 'scratch', 'job_0123456789'),
    timeoutMs: 60_000,
    ...changes,
  };
}

/** On a machine that is cool and quiet for ever, and serves nobody. */
export function calmDoors(changes: Partial<MeasureDoors> = {}): MeasureDoors {
  return {
    clock: systemClock,
    random: createRandom(1),
    activity: idle,
    machine: scriptMachine(),
    ...changes,
  };
}
