import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openScorer } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import { wilsonInterval } from '@fleetlora/shared/statistics';
import { encodeRow, parseRows } from '@fleetlora/shared/text';
import type { Bench, Check } from './lib/bench.js';
import { prepareAdapter, prepareBase } from './lib/prepare-model.js';
import { checkout } from './lib/reference.js';

const MAX_TOKENS = 64;
const QUICK_ROWS = 500;
/** What the demo's super-adapter must reach on held-out rows, in percent. */
const GOALS: Readonly<Record<string, number>> = { max: 68, 'rank 32, width 50 %': 64 };

/** Accuracy of named sub-networks of the demo's super-adapter on rows it was not trained on. */
export const adapterProof: Bench = {
  name: 'proof:adapter',
  summary: "accuracy of the demo's super-adapter on held-out rows",
  options: {
    base: 'Hugging Face folder of the base (deploy/demo/base)',
    adapter: 'PEFT folder of the super-adapter (deploy/demo/adapter)',
    data: 'JSONL of held-out rows (test.jsonl of deploy/demo/build-dataset.mjs, made on the spot)',
  },
  async run({ quick, options, workFolder, say }) {
    const prepared = await prepareBase(
      options.base ?? join(checkout, 'deploy', 'demo', 'base'),
      join(workFolder, 'weights'),
    );
    const adapter = await prepareAdapter(
      options.adapter ?? join(checkout, 'deploy', 'demo', 'adapter'),
      prepared,
    );
    const data = options.data ?? (await buildTestRows(workFolder));
    const stopId = prepared.stopIds[0] ?? 0;
    const rows = parseRows(await readFile(data, 'utf8'))
      .slice(0, quick ? QUICK_ROWS : undefined)
      .map((row) => encodeRow(prepared.tokenizer, row, { stopId, maxTokens: MAX_TOKENS }));
    const { layers, ffnWidth } = prepared.shape;
    const subnets: [string, Genome][] = [
      ['max', uniformGenome(layers, 32, ffnWidth)],
      ['rank 32, width 75 %', uniformGenome(layers, 32, ffnWidth * 0.75)],
      ['rank 32, width 50 %', uniformGenome(layers, 32, ffnWidth * 0.5)],
      ['rank 16, width 75 %', uniformGenome(layers, 16, ffnWidth * 0.75)],
      ['min (rank 4, width 50 %)', uniformGenome(layers, 4, ffnWidth * 0.5)],
    ];
    const scorer = await openScorer(createNodeRuntime(), {
      folder: prepared.folder,
      base: prepared.base,
      adapter,
      threads: 2,
    });
    const figures: Record<string, number> = { rows: rows.length };
    const checks: Check[] = [];
    for (const [name, genome] of subnets) {
      const scores = await scorer.score(genome, rows);
      const correct = scores.filter((score) => score.correct).length;
      const accuracy = (100 * correct) / rows.length;
      const { low, high } = wilsonInterval(correct, rows.length);
      say(
        `${name}: ${accuracy.toFixed(1)} % (95 % interval ${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`,
      );
      figures[name] = accuracy;
      const goal = GOALS[name];
      if (goal !== undefined)
        checks.push({
          name,
          found: `${accuracy.toFixed(1)} %`,
          wanted: `at least ${goal} %`,
          passed: accuracy >= goal,
        });
    }
    await scorer.close();
    return { figures, checks };
  },
};

async function buildTestRows(workFolder: string): Promise<string> {
  await promisify(execFile)(process.execPath, [
    join(checkout, 'deploy', 'demo', 'build-dataset.mjs'),
    '--out',
    workFolder,
  ]);
  return join(workFolder, 'test.jsonl');
}
