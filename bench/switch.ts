import { join } from 'node:path';
import { runChild } from '@fleetlora/agent/child';
import type { ModelShape } from '@fleetlora/shared/graph';
import { openFileSource } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import { encodeGenome, type Genome } from '@fleetlora/shared/space';
import { median } from '@fleetlora/shared/statistics';
import { readTensorFile, type TensorFile } from '@fleetlora/shared/weights';
import { adapterRank, makeDecodeGround, smolShape } from './decoding/decode-ground.js';
import { type Bench, type BenchResult, skip } from './lib/bench.js';
import { exportModel, rankCandidates, shapeCandidates } from './switching/make-candidates.js';
import { reportSwitches, type SwitchRounds } from './switching/report-switches.js';
import {
  type ExportedModel,
  type Holding,
  holdings,
  type SwitchAnswer,
  type SwitchSpec,
} from './switching/switch-spec.js';

/** Candidates that are open together. */
const CANDIDATES = 8;
const POSITIONS = 64;
const CHILD_MS = 300_000;
/** The demo's model. */
const smallShape: ModelShape = {
  ...smolShape,
  layers: 8,
  hidden: 256,
  heads: 8,
  kvHeads: 4,
  headDim: 32,
  ffnWidth: 768,
  vocab: 4096,
  positions: 512,
};

/** What another candidate costs a device: in time, in memory, and in bytes that must come. */
export const switchBench: Bench = {
  name: 'bench:switch',
  summary: 'from one candidate to another: ranks on an open session, new shapes, separate models',
  options: { rounds: 'processes of each kind (5; quick 2)', seed: 'of candidates and orders (1)' },
  async run({ quick, options, workFolder, say }): Promise<BenchResult> {
    if (process.platform !== 'linux') return skip('it looks at memory in /proc, which only Linux has');
    const shape = quick ? smallShape : smolShape;
    const seed = Number(options.seed ?? 1);
    say('making the model and its super-adapter');
    const ground = await makeDecodeGround(workFolder, shape, { precisions: ['fp32'], onnx: false });
    const { folder, adapter } = ground;
    const base = ground.bases.fp32 as string;
    const ranks = rankCandidates(shape, adapterRank, CANDIDATES, seed);
    const shapes = shapeCandidates(shape, adapterRank, CANDIDATES, seed);
    const files = { base: join(folder, base), adapter: join(folder, adapter) };
    const models = await exportAll(files, shapes, workFolder, say);
    const shared = { folder, base, adapter, positions: POSITIONS };
    const [rankTexts, shapeTexts] = [ranks.map(encodeGenome), shapes.map(encodeGenome)];
    const specs: Readonly<Record<Holding, SwitchSpec>> = {
      'one session': { ...shared, holding: 'one session', genomes: rankTexts },
      mapped: { ...shared, holding: 'mapped', genomes: shapeTexts },
      prepacked: { ...shared, holding: 'prepacked', genomes: shapeTexts },
      separate: { holding: 'separate', models },
    };
    const rounds = await takeRounds(specs, Number(options.rounds ?? (quick ? 2 : 5)), seed, say);
    return reportSwitches(rounds, {
      genome: Math.max(...[...rankTexts, ...shapeTexts].map((text) => text.length)),
      separate: median(models.map(({ bytes }) => bytes)),
    });
  },
};

/** Each candidate as a model of its own, in a folder below `workFolder`. */
async function exportAll(
  files: { readonly base: string; readonly adapter: string },
  genomes: readonly Genome[],
  workFolder: string,
  say: (text: string) => void,
): Promise<ExportedModel[]> {
  const sources = await Promise.all([openFileSource(files.base), openFileSource(files.adapter)]);
  try {
    const [base, adapter] = (await Promise.all(sources.map(readTensorFile))) as [TensorFile, TensorFile];
    const models: ExportedModel[] = [];
    for (const [index, genome] of genomes.entries()) {
      say(`exporting candidate ${index + 1} of ${genomes.length}`);
      models.push(await exportModel(join(workFolder, `candidate-${index + 1}`), { base, adapter }, genome));
    }
    return models;
  } finally {
    for (const source of sources) await source.close();
  }
}

/** A process of each kind a round, in random order, so that a slow minute is not one kind's alone. */
async function takeRounds(
  specs: Readonly<Record<Holding, SwitchSpec>>,
  count: number,
  seed: number,
  say: (text: string) => void,
): Promise<SwitchRounds> {
  const random = createRandom(seed);
  const answers: Record<Holding, SwitchAnswer[]> = {
    'one session': [],
    mapped: [],
    prepacked: [],
    separate: [],
  };
  for (let round = 0; round < count; round++) {
    say(`round ${round + 1} of ${count}`);
    for (const holding of random.shuffle(holdings)) {
      const outcome = await runChild({
        entry: new URL('./switching/switch-child.js', import.meta.url),
        request: specs[holding],
        parse: (answer) => answer as SwitchAnswer,
        timeoutMs: CHILD_MS,
      });
      if (outcome.kind !== 'answered') throw new Error(`${holding}: ${JSON.stringify(outcome)}`);
      answers[holding].push(outcome.answer);
    }
  }
  return answers;
}
