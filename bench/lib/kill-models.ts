import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MeasurePlan, TrainingOptions } from '@fleetlora/shared/protocol';
import { parseSearchSpace, type SearchSpaceFile } from '@fleetlora/shared/space';
import type { KillableFleet } from './killable-fleet.js';
import { runNode } from './local-fleet.js';
import { checkout } from './reference.js';
import { tinyConfig, tinyModelFile, tinyPeftConfig, tinyPeftFile, tinyTokenizer } from './tiny-llama.js';

/** What a coordinator works on while it is killed; names as they are in its catalog. */
export interface KillModels {
  readonly base: string;
  readonly adapter: string;
  readonly dataset: string;
  readonly space: SearchSpaceFile;
  readonly plan: MeasurePlan;
  /** Several seconds of training, with a checkpoint every few steps. */
  readonly training: Partial<TrainingOptions>;
}

/** Few and short samples: it is the course of a job that matters here, not its figures. */
const plan: MeasurePlan = { promptTokens: 8, kvTokens: 8, prefillRepeats: 1, decodeRepeats: 2, threads: 1 };

/** Imports the demo's base and super-adapter and rows of its data. */
export async function importDemoModels(fleet: KillableFleet, workFolder: string): Promise<KillModels> {
  const demo = join(checkout, 'deploy', 'demo');
  const data = join(workFolder, 'demo-data');
  await runNode([join(demo, 'build-dataset.mjs'), '--out', data]);
  const spaceFile = join(demo, 'space.json');
  await fleet.command(['base', 'import', join(demo, 'base')]);
  await fleet.command(['adapter', 'import', join(demo, 'adapter'), '--base', 'base', '--space', spaceFile]);
  await fleet.command(['dataset', 'import', join(data, 'test.jsonl')]);
  return {
    base: 'base',
    adapter: 'adapter',
    dataset: 'test',
    space: parseSearchSpace(JSON.parse(await readFile(spaceFile, 'utf8'))),
    plan,
    training: {
      steps: 40,
      batchRows: 4,
      maxTokens: 32,
      sampling: 'rotation',
      warmupSteps: 5,
      checkpointEverySteps: 3,
      threads: 1,
      seed: 7,
    },
  };
}

/** Imports a model of a few thousand weights, made here. */
export async function importTinyModels(
  fleet: Pick<KillableFleet, 'command'>,
  workFolder: string,
): Promise<KillModels> {
  const space: SearchSpaceFile = {
    version: 1,
    name: 'tiny',
    rankMax: 4,
    alpha: 8,
    ranks: { qkv: [1, 2, 4], o: 'qkv', gateUp: [1, 2, 4], down: 'gateUp' },
    widthPercents: [100, 75, 50],
    forms: ['unmerged', 'merged'],
  };
  const base = join(workFolder, 'base');
  const adapter = join(workFolder, 'adapter');
  const json = (path: string, value: unknown): Promise<void> => writeFile(path, JSON.stringify(value));
  await mkdir(base);
  await mkdir(adapter);
  await json(join(base, 'config.json'), tinyConfig);
  await json(join(base, 'tokenizer.json'), tinyTokenizer());
  await writeFile(join(base, 'model.safetensors'), tinyModelFile());
  await json(join(adapter, 'adapter_config.json'), tinyPeftConfig());
  await writeFile(join(adapter, 'adapter_model.safetensors'), tinyPeftFile());
  await json(join(workFolder, 'space.json'), space);
  const rows = Array.from({ length: 64 }, (_, row) =>
    JSON.stringify({ prompt: `${row} and ${row}?`, completion: ` ${2 * row}` }),
  );
  await writeFile(join(workFolder, 'rows.jsonl'), rows.join('\n'));
  await fleet.command(['base', 'import', base]);
  const spaceFile = join(workFolder, 'space.json');
  await fleet.command(['adapter', 'import', adapter, '--base', 'base', '--space', spaceFile]);
  await fleet.command(['dataset', 'import', join(workFolder, 'rows.jsonl')]);
  return {
    base: 'base',
    adapter: 'adapter',
    dataset: 'rows',
    space,
    plan,
    training: {
      steps: 300,
      batchRows: 8,
      maxTokens: 32,
      sampling: 'sandwich',
      warmupSteps: 5,
      checkpointEverySteps: 20,
      threads: 1,
      seed: 7,
    },
  };
}
