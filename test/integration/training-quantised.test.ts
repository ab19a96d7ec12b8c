import { join } from 'node:path';
import { placeDequantisedBase } from '@fleetlora/coordinator/training';
import { createFileContentStore } from '@fleetlora/shared/node';
import { type Genome, skippedLayer } from '@fleetlora/shared/space';
import {
  bufferSource,
  createBufferSink,
  dequantiseBase,
  readFloats,
  readTensorFile,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { readFullWeights } from '../lib/full-weights.js';
import { gradientError, takeGradients } from '../lib/gradient-checks.js';
import { readPlainLlama } from '../lib/plain-llama.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { createTinyModel, randomRows, tinyShape } from '../lib/tiny-model.js';

const ranks = { qkv: 3, o: 2, gateUp: 4, down: 1 };
const elastic = { width: true, kvHeads: true, skip: true };

for (const precision of ['q8', 'q4'] as const) {
  t.test(
    `${precision}, head of its own: the file of floats has the very weights that the numbers stand for`,
    async (t) => {
      const model = await createTinyModel(t.testdir(), { shape: { ...quantisableShape, tiedHead: false } });
      const quantised = await quantiseTinyModel(model, precision);
      const sink = createBufferSink();
      await dequantiseBase(quantised.base.file, sink);
      const floats = await readTensorFile(bufferSource(sink.bytes()));
      for (const [name, wanted] of await readFullWeights(quantised.base.file))
        t.strictSame(await readFloats(floats, name, model.base.file.tensors.get(name)?.shape), wanted, name);
      t.same([...floats.tensors.keys()].sort(), [...model.base.file.tensors.keys()].sort());
      t.equal(floats.metadata.ffnOrderDigest, model.base.file.metadata.ffnOrderDigest);
      t.equal(floats.metadata.precision, undefined);
    },
  );

  t.test(
    `${precision}: loss and gradients beside a quantised base equal the plain computation with its weights`,
    async (t) => {
      const place = t.testdir();
      const model = await createTinyModel(join(place, 'model'), { shape: quantisableShape });
      const quantised = await quantiseTinyModel(model, precision);
      const plain = await readPlainLlama(quantised);
      const path = join(model.folder, model.base.fileName);
      const digest = model.base.fileName;
      const quantisedPath = null;
      const placed = await placeDequantisedBase(
        { path, digest, quantisedPath },
        precision,
        join(place, 'run'),
      );
      const again = await placeDequantisedBase(
        { path: 'not looked at', digest, quantisedPath },
        precision,
        join(place, 'run'),
      );
      t.same(again, placed, 'made once');
      const ofTwin = await placeDequantisedBase(
        {
          path: 'not looked at either',
          digest,
          quantisedPath: join(quantised.folder, quantised.base.fileName),
        },
        precision,
        join(place, 'other'),
      );
      t.equal(ofTwin.fileName, placed.fileName, 'of the twin the same bytes');
      const source = await (await createFileContentStore(placed.folder)).open(placed.fileName);
      const base = { fileName: placed.fileName, file: await readTensorFile(source) };
      const rows = randomRows({ ...tinyShape, ...quantisableShape }, [6, 4], { seed: 41 });
      const genome: Genome = {
        form: 'unmerged',
        layers: [{ ranks, width: 96, kvHeads: 3 }, skippedLayer, { ranks, width: 64 }],
      };
      const found = await takeGradients({ ...model, base, folder: placed.folder }, [genome], rows, {
        elastic: [elastic, elastic, elastic],
      });
      t.ok(Math.abs((found.losses[0] ?? 0) - plain.loss(rows, genome)) < 1e-5);
      const moved = found.parameters.factors.filter((view) => view.layer !== 1 && view.module !== 'k');
      for (const view of moved.slice(-6)) {
        const error = gradientError(plain, found, view, () => plain.loss(rows, genome));
        t.ok(error < 5e-5, `${view.name}: ${error} of the gradient off`);
      }
      await source.close();
    },
  );
}

t.test('a base of floats is not dequantised', async (t) => {
  const model = await createTinyModel(t.testdir());
  await t.rejects(dequantiseBase(model.base.file, createBufferSink()), coded('MODEL_CONFIG', 'fp32'));
});
