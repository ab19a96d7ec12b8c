import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Row } from './ask-device.js';
import { assets } from './assets.js';
import type { Demo } from './demo.js';
import { GOLDEN_ROWS, QUERY_ROWS } from './demo-settings.js';

export interface DemoData {
  readonly scoreFile: string;
  readonly trainFile: string | null;
  readonly queries: readonly Row[];
  readonly goldenPrompts: readonly string[];
}

/** Splits the test rows: the last ones are asked of the device and prove health, the rest score. */
export async function prepareData(demo: Demo): Promise<DemoData> {
  const { options, folder, processes } = demo;
  if (options.dataFile === null)
    await processes.run('the data set builder', [assets.buildDataset, '--out', join(folder, 'data')]);
  const testFile = options.dataFile === null ? join(folder, 'data', 'test.jsonl') : resolve(options.dataFile);
  const lines = (await readFile(testFile, 'utf8')).split('\n').filter((line) => line.trim() !== '');
  const kept = lines.splice(-(QUERY_ROWS + GOLDEN_ROWS)).map((line) => JSON.parse(line) as Row);
  const scoreFile = join(folder, 'score.jsonl');
  await writeFile(scoreFile, `${lines.join('\n')}\n`);
  return {
    scoreFile,
    trainFile: options.dataFile === null ? join(folder, 'data', 'train.jsonl') : null,
    queries: kept.slice(0, QUERY_ROWS),
    goldenPrompts: kept.slice(QUERY_ROWS).map((row) => row.prompt),
  };
}
