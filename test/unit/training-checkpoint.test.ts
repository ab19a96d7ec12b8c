import {
  type Checkpoint,
  createLoraParameters,
  decodeCheckpoint,
  encodeCheckpoint,
  initializeLora,
} from '@fleetlora/coordinator/training';
import { createRandom, restoreRandom } from '@fleetlora/shared/random';
import { bufferSource, encodeTensorFile, readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tinyShape } from '../lib/tiny-model.js';

const checkpoint: Checkpoint = {
  step: 17,
  values: Float32Array.of(0.1, -2, 3e-20),
  optimizer: { first: Float32Array.of(1, 2, 3), second: Float32Array.of(4, 5, 6), step: 16 },
  // Above 2^31, to be stored as signed 32 bits.
  orderState: [0, 1, 0x7fffffff, 0xffffffff],
  subnetState: createRandom(9).state(),
  pendingRows: [5, 0, 70_000],
};
const decode = async (bytes: Uint8Array, count = 3) =>
  decodeCheckpoint(await readTensorFile(bufferSource(bytes)), count);

t.test(
  'round trip: every field, generators above 2^31 included; equal checkpoints give equal bytes',
  async (t) => {
    const bytes = encodeCheckpoint(checkpoint);
    t.strictSame(await decode(bytes), checkpoint);
    t.strictSame(encodeCheckpoint(checkpoint), bytes);
    const restored = restoreRandom((await decode(bytes)).subnetState);
    t.equal(restored.next(), createRandom(9).next());
    t.same((await decode(encodeCheckpoint({ ...checkpoint, pendingRows: [] }))).pendingRows, []);
  },
);

t.test('a checkpoint of 3 parameters fits a run of 3, not of 2 or 4; another file is refused', async (t) => {
  const bytes = encodeCheckpoint(checkpoint);
  await t.rejects(decode(bytes, 2), coded('WEIGHT_SHAPE', '[3]', '[2]'));
  await t.rejects(decode(bytes, 4), coded('WEIGHT_SHAPE', '[3]', '[4]'));
  const other = encodeTensorFile([], { format: 'fleetlora-base' }, { alignment: 'none' });
  await t.rejects(decode(other), coded('WEIGHT_SHAPE', 'fleetlora-base', 'fleetlora-checkpoint'));
  await t.rejects(decode(bytes.subarray(0, -1)), coded('SAFETENSORS_TRUNCATED'));
});

t.test('LoRA parameters: one flat vector, A uniform within ±1/√in, B zero', async (t) => {
  const parameters = createLoraParameters(tinyShape, 4, ['q', 'down']);
  // q 4·(16 + 64), down 4·(24 + 16), two layers.
  t.equal(parameters.values.length, 2 * (320 + 160));
  t.same(
    parameters.factors.map(({ name, rows, columns, start }) => [name, rows, columns, start]).slice(0, 5),
    [
      ['layers.0.q.A', 4, 16, 0],
      ['layers.0.q.B', 4, 64, 64],
      ['layers.0.down.A', 4, 24, 320],
      ['layers.0.down.B', 4, 16, 416],
      ['layers.1.q.A', 4, 16, 480],
    ],
  );
  parameters.values.fill(7);
  initializeLora(parameters, createRandom(1));
  for (const view of parameters.factors) {
    const values = parameters.valuesOf(view);
    if (view.factor === 'B')
      t.ok(
        values.every((value) => value === 0),
        view.name,
      );
    else {
      const bound = 1 / Math.sqrt(view.columns);
      t.ok(
        values.every((value) => Math.abs(value) <= bound),
        view.name,
      );
      t.ok(
        Math.max(...values) > bound / 2 && Math.min(...values) < -bound / 2,
        `${view.name} fills its range`,
      );
    }
  }
  parameters.valuesOf(parameters.factors[1] as (typeof parameters.factors)[0])[0] = 5;
  t.equal(parameters.values[64], 5, 'views, not copies');
});
