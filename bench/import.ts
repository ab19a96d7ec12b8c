import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiB } from '@fleetlora/shared/units';
import { atMost, type Bench, type Check, type FigureValue, holds } from './lib/bench.js';
import type { ImportAnswer, ImportRequest } from './lib/import-model.js';
import { runNode } from './lib/local-fleet.js';
import { tinyTokenizer } from './lib/tiny-llama.js';
import { type SyntheticShape, writeSyntheticModel } from './lib/write-synthetic-model.js';

/** What an import may take beside the largest tensor of the model. */
const BESIDE_BYTES = 300 * 1000 * 1000;

interface Entrant {
  readonly name: string;
  readonly shape: SyntheticShape;
  readonly shards: number;
}

const small: Entrant = {
  name: '135M (SmolLM2)',
  shape: { layers: 30, hidden: 576, heads: 9, kvHeads: 3, ffnWidth: 1536, vocab: 49152, tiedHead: true },
  shards: 1,
};
const large: Entrant = {
  name: '1.1B (TinyLlama), 3 shards',
  shape: { layers: 22, hidden: 2048, heads: 32, kvHeads: 4, ffnWidth: 5632, vocab: 32000, tiedHead: false },
  shards: 3,
};

/** Peak memory of importing models whose weights are numbers by chance, against their largest tensor. */
export const importBench: Bench = {
  name: 'bench:import',
  summary: 'peak memory of importing a base model',
  options: {},
  async run({ quick, workFolder, say }) {
    const figures: Record<string, FigureValue>[] = [];
    const checks: Check[] = [];
    const rows: string[][] = [];
    for (const { name, shape, shards } of quick ? [small] : [small, large]) {
      say(`${name}: writing the model`);
      const folder = join(workFolder, name.replace(/\W+/g, '-'));
      const content = join(folder, 'content');
      await mkdir(content, { recursive: true });
      const model = await writeSyntheticModel(folder, shape, shards);
      await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tinyTokenizer()));
      const files: Record<string, string> = {};
      for (const [index, file] of [...model.files, 'tokenizer.json'].entries()) {
        // The digest of an upload is not looked at again, so gigabytes need not be hashed for it.
        const digest = index.toString(16).padStart(64, '0');
        await rename(join(folder, file), join(content, digest));
        files[file] = digest;
      }
      say(`${name}: importing it`);
      const program = fileURLToPath(new URL('./lib/import-model.js', import.meta.url));
      const request: ImportRequest = { folder, files };
      const answer = JSON.parse(await runNode([program, JSON.stringify(request)])) as ImportAnswer;
      await rm(folder, { recursive: true });
      const besideBytes = answer.peakBytes - model.largestTensorBytes;
      figures.push({ model: name, ...answer, largestTensorBytes: model.largestTensorBytes, besideBytes });
      checks.push(
        atMost(
          `${name}: beside the largest tensor`,
          Math.round(besideBytes / 1e6),
          BESIDE_BYTES / 1e6,
          ' MB',
        ),
        holds(`${name}: every weight counted`, answer.parameters === model.parameters),
        // Four bytes a weight, and what pages, rope tables and the header take.
        holds(
          `${name}: the file holds every weight`,
          answer.fileBytes > 4 * model.parameters && answer.fileBytes < 4 * model.parameters + 8 * MiB,
        ),
      );
      const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);
      rows.push([
        name,
        mb(2 * model.parameters),
        mb(model.largestTensorBytes),
        mb(answer.idleBytes),
        mb(answer.peakBytes),
        mb(besideBytes),
      ]);
    }
    return {
      figures: { models: figures },
      table: {
        columns: ['model', 'model MB', 'largest tensor MB', 'idle MB', 'peak MB', 'peak beside it MB'],
        rows,
      },
      checks,
    };
  },
};
