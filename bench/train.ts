import { spawnSync } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { createFileContentStore, openFileSource, sha256File } from '@fleetlora/shared/node';
import { median } from '@fleetlora/shared/statistics';
import {
  layBase,
  openHfModel,
  parseModelConfig,
  readPeftAdapter,
  readTensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';
import { atMost, type Bench, type BenchResult, type FigureValue, skip } from './lib/bench.js';
import { peerScript, pythonPeer } from './lib/peer-folders.js';
import type { TrainAnswer, TrainSpec } from './training/train-messages.js';
import { startTrainProgram, type TrainProgram } from './training/train-program.js';

/** A model by its Llama config, and the rows of a step. */
interface TrainedShape {
  readonly name: string;
  readonly config: Readonly<Record<string, FigureValue>>;
  readonly rows: number;
  readonly length: number;
}

const shapes: readonly TrainedShape[] = [
  {
    name: 'tiny-llama-7m',
    config: {
      hidden_size: 256,
      num_hidden_layers: 8,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      intermediate_size: 768,
      vocab_size: 4096,
      max_position_embeddings: 512,
      tie_word_embeddings: true,
    },
    rows: 8,
    length: 128,
  },
  {
    name: 'SmolLM2-135M',
    config: {
      hidden_size: 576,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      intermediate_size: 1536,
      vocab_size: 49152,
      max_position_embeddings: 2048,
      tie_word_embeddings: true,
    },
    rows: 4,
    length: 128,
  },
];

/** Which tokens of a row are learned: all, as in language modelling, or an answer at its end. */
const taskTargets = { all: 1, answer: 120 } as const;
type Targets = keyof typeof taskTargets;

const RANK = 32;
const ALPHA = 64;
/** Small, so that both start every step from almost the same weights. */
const LEARNING_RATE = 1e-4;
/** Both start with the same factors; nats, and a share of the whole gradient's length. */
const LOSS_TOLERANCE = 1e-3;
const GRADIENT_TOLERANCE = 1e-3;

/** A LoRA training step of ours against PyTorch, transformers and peft: one model, the same rows. */
export const trainBench: Bench = {
  name: 'bench:train',
  summary: 'time and memory of a LoRA training step against PyTorch on the processor, in turns',
  options: {
    shape: `only this one (${shapes.map(({ name }) => name).join(', ')})`,
    threads: 'only so many (1 and 2)',
    targets: 'learned tokens of a row: all, or answer (its last 8; both)',
    rounds: 'pairs of steps (8; quick 3)',
    python: 'a Python that has the packages of bench/peers/requirements.txt, instead of a fetched one',
  },
  async run({ quick, options, workFolder, say }): Promise<BenchResult> {
    let python: string;
    try {
      python = options.python ?? pythonPeer();
    } catch (error) {
      return skip(`PyTorch cannot be fetched: ${messageOf(error)}`);
    }
    const rounds = Number(options.rounds ?? (quick ? 3 : 8));
    const figures: Record<string, FigureValue>[] = [];
    let worstLoss = 0;
    let worstGradient = 0;
    for (const shape of shapes) {
      if ((options.shape ?? (quick ? 'tiny-llama-7m' : shape.name)) !== shape.name) continue;
      say(`making a model of the shape of ${shape.name}`);
      const folder = join(workFolder, shape.name);
      const [model, lora, weights] = ['model', 'lora', 'weights'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      await mkdir(folder, { recursive: true });
      makeModel(python, model, lora, shape);
      const laid = await layModel(model, lora, weights);
      for (const threads of options.threads === undefined ? [1, 2] : [Number(options.threads)])
        for (const targets of Object.keys(taskTargets) as Targets[]) {
          if ((options.targets ?? targets) !== targets) continue;
          say(`${shape.name}, ${threads} threads, targets: ${targets}`);
          const spec = specOf(shape, threads, targets);
          const ours = await startTrainProgram(process.execPath, [
            fileURLToPath(new URL('./training/our-train-child.js', import.meta.url)),
            JSON.stringify({ ...spec, folder: weights, ...laid } satisfies TrainSpec),
          ]);
          const theirs = await startTrainProgram(python, [
            peerScript('train_step.py'),
            'train',
            JSON.stringify({ ...spec, folder: model, base: '', adapter: lora } satisfies TrainSpec),
          ]);
          try {
            const { figure, lossDifference, gradientDifference } = await compareSteps(ours, theirs, rounds);
            worstLoss = Math.max(worstLoss, lossDifference);
            worstGradient = Math.max(worstGradient, gradientDifference);
            figures.push({ shape: shape.name, threads, targets, ...figure });
          } finally {
            await ours.close();
            await theirs.close();
          }
        }
      await rm(folder, { recursive: true, force: true });
    }
    if (figures.length === 0) return skip(`no shape is named "${options.shape}"`);
    return {
      figures: { train: figures, lossDifference: worstLoss, gradientDifference: worstGradient },
      table: {
        columns: [
          'shape',
          'threads',
          'targets',
          'ours ms',
          'PyTorch ms',
          'time ratio',
          'memory ratio',
          'above imports',
        ],
        rows: figures.map((figure) => [
          String(figure.shape),
          String(figure.threads),
          String(figure.targets),
          ...['oursMs', 'theirsMs', 'timeRatio', 'memoryRatio', 'grownRatio'].map((name) =>
            Number(figure[name]).toPrecision(3),
          ),
        ]),
      },
      checks: [
        atMost('difference of the first loss', worstLoss, LOSS_TOLERANCE, ' nats'),
        atMost("difference of the first gradient's length", worstGradient, GRADIENT_TOLERANCE),
      ],
    };
  },
};

function specOf(
  { config, rows, length }: TrainedShape,
  threads: number,
  targets: Targets,
): Omit<TrainSpec, 'folder' | 'base' | 'adapter'> {
  const vocab = Number(config.vocab_size);
  const ids = Array.from({ length: rows }, (_, row) =>
    Array.from({ length }, (_, at) => 2 + ((at * 7919 + row * 104_729) % (vocab - 2))),
  );
  return {
    threads,
    rank: RANK,
    alpha: ALPHA,
    learningRate: LEARNING_RATE,
    ids,
    targetStart: taskTargets[targets],
  };
}

/** Steps of both in turns, who is first alternating; the first pair warms up and is compared by what it computes. */
async function compareSteps(
  ours: TrainProgram,
  theirs: TrainProgram,
  rounds: number,
): Promise<{ figure: Record<string, number>; lossDifference: number; gradientDifference: number }> {
  const first = { own: await ours.step(), other: await theirs.step() };
  const pairs: { own: TrainAnswer; other: TrainAnswer }[] = [];
  for (let round = 0; round < rounds; round++) {
    const own = round % 2 === 0 ? await ours.step() : null;
    const other = await theirs.step();
    pairs.push({ own: own ?? (await ours.step()), other });
  }
  const own = pairs.map((pair) => pair.own.ms);
  const other = pairs.map((pair) => pair.other.ms);
  const last = pairs.at(-1) as { own: TrainAnswer; other: TrainAnswer };
  const grown = ({ peakBytes, importedBytes }: TrainAnswer): number => peakBytes - importedBytes;
  return {
    lossDifference: Math.abs(first.own.loss - first.other.loss),
    gradientDifference: Math.abs(first.own.gradientNorm / first.other.gradientNorm - 1),
    figure: {
      oursMs: median(own),
      theirsMs: median(other),
      timeRatio: median(pairs.map((pair) => pair.own.ms / pair.other.ms)),
      timeRatioOfBest: Math.min(...own) / Math.min(...other),
      oursPeakBytes: last.own.peakBytes,
      theirsPeakBytes: last.other.peakBytes,
      memoryRatio: last.own.peakBytes / last.other.peakBytes,
      grownRatio: grown(last.own) / grown(last.other),
    },
  };
}

/** @throws CHILD_FAILED with the words of Python */
function makeModel(python: string, folder: string, lora: string, { config }: TrainedShape): void {
  const shape = JSON.stringify({ config, rank: RANK, alpha: ALPHA });
  const args = [peerScript('train_step.py'), 'make', folder, lora, shape];
  const { status, stderr } = spawnSync(python, args, { encoding: 'utf8' });
  if (status !== 0)
    throw new CodedError('CHILD_FAILED', `train_step.py ended with ${status}: ${stderr.slice(-500)}`);
}

/** Lays the model out as a base and its LoRA as an adapter; returns their names in `folder`. */
async function layModel(
  model: string,
  lora: string,
  folder: string,
): Promise<Pick<TrainSpec, 'base' | 'adapter'>> {
  const path = join(model, 'model.safetensors');
  const source = await openFileSource(path);
  const config = parseModelConfig(await readJson(join(model, 'config.json')));
  const store = await createFileContentStore(folder);
  const writer = await store.begin();
  await layBase(
    openHfModel(config, tensorsOf(await readTensorFile(source)), await sha256File(path)),
    { tokenizerDigest: '0'.repeat(64) },
    writer,
  );
  await source.close();
  const base = await writer.finish();
  const laid = await openFileSource(store.pathOf(base));
  const factors = await openFileSource(join(lora, 'adapter_model.safetensors'));
  const adapter = await readPeftAdapter(
    await readJson(join(lora, 'adapter_config.json')),
    await readTensorFile(factors),
    { file: await readTensorFile(laid), digest: base },
  );
  await laid.close();
  await factors.close();
  return { base, adapter: await store.put(adapter) };
}

const readJson = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'));
