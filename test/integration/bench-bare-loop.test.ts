import { fillerIds } from '@fleetlora/agent/measure';
import { exportForBareLoop } from '@fleetlora/bench/lib/bare-loop';
import { argmax, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { defaultMeasurePlan } from '@fleetlora/shared/protocol';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { tempFolder } from '../lib/temp-folder.js';
import { createTinyModel } from '../lib/tiny-model.js';

const plan = { ...defaultMeasurePlan, promptTokens: 8, kvTokens: 12 };

const genomes: readonly [string, (layers: number, ffn: number) => Genome][] = [
  ['rank 4 at full width', (layers, ffn) => uniformGenome(layers, 4, ffn)],
  ['rank 2 at half width', (layers, ffn) => uniformGenome(layers, 2, ffn / 2)],
];
for (const [name, make] of genomes)
  t.test(`the stand-alone loop chooses the tokens that the agent's decoder chooses: ${name}`, async (t) => {
    const { folder, base, adapter, shape } = await createTinyModel(await tempFolder(t));
    const genome = make(shape.layers, shape.ffnWidth);
    const model = { folder, base, overlay: adapter, genome };
    const loop = await exportForBareLoop(model, plan, { prefill: 3, decode: 4 });
    const { prefill, decode } = await loop.time();
    t.equal(prefill.samples.length, 3);
    t.equal(decode.samples.length, 4);
    t.ok(prefill.warmUp.length >= 2 && decode.warmUp.length >= 2, 'at least two runs to warm up');
    t.ok([...prefill.samples, ...decode.samples].every((ms) => ms > 0));

    const decoder = await openDecoder(createNodeRuntime(), model, { threads: 1, positions: 13 });
    t.teardown(() => decoder.close());
    const prompt = fillerIds(plan.promptTokens, shape.vocab);
    t.equal(prefill.token, argmax(await decoder.prefill(prompt)), 'after the prompt');
    decoder.reset();
    await decoder.prefill(fillerIds(plan.kvTokens, shape.vocab));
    t.equal(decode.token, argmax(await decoder.step(prompt[0] as number)), 'behind a full cache');
  });

t.test('GNU time tells the peak of a whole process: more than Node.js alone has', async (t) => {
  const { folder, base, adapter, shape } = await createTinyModel(await tempFolder(t));
  const genome = uniformGenome(shape.layers, 4, shape.ffnWidth);
  const loop = await exportForBareLoop({ folder, base, overlay: adapter, genome }, plan, {
    prefill: 1,
    decode: 1,
  });
  const bytes = await loop.weigh();
  t.ok(bytes > 30e6 && bytes < 1e9, `${bytes}`);
});
