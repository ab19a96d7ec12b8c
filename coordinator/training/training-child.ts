/** Entry of a training process: one run, then it ends. It also ends when its coordinator does. */
import { access, readFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '@fleetlora/shared/clock';
import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { readModelShape } from '@fleetlora/shared/graph';
import {
  createFileContentStore,
  createNodeRuntime,
  createPatience,
  isDiskFull,
  openFileSource,
  sweepParts,
  writeFileDurably,
} from '@fleetlora/shared/node';
import { bindSearchSpace, spaceModelOf } from '@fleetlora/shared/space';
import { createTokenizer, encodeRow, parseRows } from '@fleetlora/shared/text';
import { readTensorFile, type TensorFile } from '@fleetlora/shared/weights';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.js';
import { placeDequantisedBase } from './dequantised-base.js';
import { encodeAdapter } from './encode-adapter.js';
import { createLoraParameters } from './lora-parameters.js';
import type { FromTrainingChild, ToTrainingChild } from './messages.js';
import { createStepGate } from './step-gate.js';
import { adaptedModules, trainSuperAdapter } from './train-super-adapter.js';

/** Training gives way to the coordinator and to measurements on the same host. */
const BACKGROUND_PRIORITY = 10;

let stopAsked = false;
const tell = (message: FromTrainingChild): void => {
  if (process.connected) process.send?.(message);
};

const gate = createStepGate(systemClock, () => tell({ kind: 'paused' }));
/** The run stays in memory while the disk has no room for its checkpoint; its turn is over then. */
const patience = createPatience({
  onWait({ message }) {
    gate.pause('next');
    tell({ kind: 'waiting', reason: message });
  },
  onGoOn: () => tell({ kind: 'goesOn' }),
});

let isStarted = false;

process.on('disconnect', () => process.exit(0));
process.on('message', (message: ToTrainingChild) => {
  if (message.kind === 'pause') return gate.pause('afterSlice');
  if (message.kind === 'goOn') return gate.goOn();
  if (message.kind === 'stop') {
    stopAsked = true;
    patience.close();
    gate.open();
    if (isStarted) return;
    // Its first turn has not come: there is nothing to keep.
    process.send?.({ kind: 'stopped' } satisfies FromTrainingChild, () => process.exit(0));
    return;
  }
  if (stopAsked) return;
  isStarted = true;
  setPriority(BACKGROUND_PRIORITY);
  train(message).then(
    () => process.exit(0),
    (error: unknown) => {
      tell({ kind: 'failed', code: isCoded(error) ? error.code : 'BUG', message: messageOf(error) });
      process.exitCode = 1;
      process.disconnect?.();
    },
  );
});

async function train(job: Extract<ToTrainingChild, { kind: 'start' }>): Promise<void> {
  const { options } = job;
  // A checkpoint that a killed process was writing is as large as the one that counts.
  await sweepParts(dirname(job.checkpointPath));
  const store = await createFileContentStore(job.contentFolder);
  const file = await readHeader(store.pathOf(job.baseDigest));
  const shape = readModelShape(file);
  const space = bindSearchSpace(job.space, spaceModelOf(shape));
  const tokenizer = createTokenizer(JSON.parse(await readFile(store.pathOf(job.tokenizerDigest), 'utf8')));
  const [stopId = 0] = JSON.parse(file.metadata.stopIds ?? '[0]') as number[];
  const text = await readFile(store.pathOf(job.datasetDigest), 'utf8');
  const rows = parseRows(text).map((row) =>
    encodeRow(tokenizer, row, { stopId, maxTokens: options.maxTokens }),
  );
  const { precision = 'fp32' } = options;
  const stored = {
    path: store.pathOf(job.baseDigest),
    digest: job.baseDigest,
    quantisedPath: job.quantisedDigest === null ? null : store.pathOf(job.quantisedDigest),
  };
  const placed =
    precision === 'fp32'
      ? { folder: job.contentFolder, fileName: job.baseDigest }
      : await patience.run(() =>
          placeDequantisedBase(
            stored,
            precision,
            dirname(job.checkpointPath),
            options.masked ? 'weightsAndSteps' : 'weights',
          ),
        );

  const parameterCount = createLoraParameters(shape, space.file.rankMax, adaptedModules(space)).values.length;
  const initial = job.initialDigest === null ? null : await openFileSource(store.pathOf(job.initialDigest));
  const { parameters, step } = await trainSuperAdapter(
    createNodeRuntime(),
    systemClock,
    {
      shape,
      base: { fileName: placed.fileName, file: await readHeader(join(placed.folder, placed.fileName)) },
      weightFolder: placed.folder,
      space,
      rows,
      options,
      checkpoint: await loadCheckpoint(job.checkpointPath, parameterCount),
      initial: initial && (await readTensorFile(initial)),
    },
    {
      onProgress: (progress) => tell({ kind: 'progress', progress }),
      onCheckpoint: async (checkpoint) => {
        await writeUnlessStopped(job.checkpointPath, encodeCheckpoint(checkpoint));
      },
      beforeStep: () => gate.pass(),
      shouldStop: () => stopAsked,
    },
  );
  await initial?.close();
  if (step < options.steps) {
    tell({ kind: 'stopped' });
    return;
  }
  const header = {
    shape,
    baseDigest: job.baseDigest,
    ffnOrderDigest: file.metadata.ffnOrderDigest ?? '',
    rankMax: space.file.rankMax,
    alpha: space.file.alpha,
    masked: options.masked ? precision : undefined,
  };
  const written = await writeUnlessStopped(job.resultPath, encodeAdapter(parameters, header));
  tell({ kind: written ? 'finished' : 'stopped' });
}

/**
 * Writes a file, waiting for space as long as that takes. Who asks the run to stop meanwhile gives
 * up what it would have written; the file from before stays.
 * @returns false when it was given up
 */
async function writeUnlessStopped(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    await patience.run(() => writeFileDurably(path, bytes));
    return true;
  } catch (error) {
    if (stopAsked && isDiskFull(error)) return false;
    throw error;
  }
}

/** What a weight file says of itself; the training session maps its weights without us. */
async function readHeader(path: string): Promise<TensorFile> {
  const source = await openFileSource(path);
  try {
    return await readTensorFile(source);
  } finally {
    await source.close();
  }
}

async function loadCheckpoint(path: string, parameterCount: number): Promise<Checkpoint | null> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) return null;
  const source = await openFileSource(path);
  try {
    return await decodeCheckpoint(await readTensorFile(source), parameterCount);
  } finally {
    await source.close();
  }
}
