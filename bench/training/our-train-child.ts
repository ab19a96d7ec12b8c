/** Trains with our engine as it is asked to: a step for every line. Started with a TrainSpec. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  clipGradient,
  createAdamW,
  createLoraParameters,
  loadLora,
  openTrainingStep,
  stepAdamW,
} from '@fleetlora/coordinator/training';
import { moduleNames, readModelShape } from '@fleetlora/shared/graph';
import { createNodeRuntime, openFileSource } from '@fleetlora/shared/node';
import { uniformGenome } from '@fleetlora/shared/space';
import { readTensorFile } from '@fleetlora/shared/weights';
import type { TrainAnswer, TrainSpec } from './train-messages.js';

const spec = JSON.parse(process.argv[2] ?? '') as TrainSpec;
const memory = (field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) *
  1024;
const importedBytes = memory('VmRSS');

const file = await readTensorFile(await openFileSource(join(spec.folder, spec.base)));
const adapter = await readTensorFile(await openFileSource(join(spec.folder, spec.adapter)));
const shape = readModelShape(file);
const genome = uniformGenome(shape.layers, spec.rank, shape.ffnWidth);
const parameters = createLoraParameters(shape, spec.rank, moduleNames);
await loadLora(parameters, adapter, shape, genome);
const optimizer = createAdamW(parameters.values.length);
const moments = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
const step = await openTrainingStep(createNodeRuntime(), {
  shape,
  base: { fileName: spec.base, file },
  weightFolder: spec.folder,
  rankMax: spec.rank,
  loraScale: spec.alpha / spec.rank,
  modules: moduleNames,
  threads: spec.threads,
  // An ordinary LoRA, as the peer trains it: nothing but ranks could be cut.
  elastic: Array.from({ length: shape.layers }, () => ({ width: false, kvHeads: false, skip: false })),
});
const rows = spec.ids.map((ids) => ({ ids: Int32Array.from(ids), targetStart: spec.targetStart }));
const say = (value: object): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};
say({ ready: true });
for await (const _ of createInterface({ input: process.stdin })) {
  const startedMs = performance.now();
  const { losses } = await step.accumulate(parameters, rows, [genome]);
  const gradientNorm = clipGradient(parameters.gradient, 1);
  stepAdamW(optimizer, parameters.values, parameters.gradient, spec.learningRate, moments);
  say({
    ms: performance.now() - startedMs,
    loss: losses[0] ?? Number.NaN,
    gradientNorm,
    peakBytes: memory('VmHWM'),
    importedBytes,
  } satisfies TrainAnswer);
}
await step.close();
