import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelSpec } from '@fleetlora/agent/serve';
import type { Test } from 'tap';
import { layTinyModel } from './laid-models.js';
import { tempFolder } from './temp-folder.js';

/** The tiny base in a folder of its own, as a model process loads it. */
export async function openTinySpec(
  t: Test,
  options: Parameters<typeof layTinyModel>[0] = {},
): Promise<ModelSpec> {
  const folder = await tempFolder(t);
  const model = await layTinyModel(options);
  await writeFile(join(folder, 'base'), model.base);
  await writeFile(join(folder, 'tokenizer'), model.tokenizer);
  return {
    name: 'tiny',
    files: { folder, base: 'base', overlay: null, genome: null },
    tokenizerFile: join(folder, 'tokenizer'),
    stopIds: [0],
    threads: 1,
  };
}
