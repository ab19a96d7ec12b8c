import { join } from 'node:path';
import { openDecoder, openScorer } from '@fleetlora/shared/engine';
import type { WeightFile } from '@fleetlora/shared/graph';
import { createFileContentStore, createNodeRuntime } from '@fleetlora/shared/node';
import { bufferSource, readFloats, readInts, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { hfModels, layHfModel, openTensorFile } from '../lib/hf-models.js';
import { largestDifference, modelLogits } from '../lib/run-logits.js';

/** The limit of every comparison with PyTorch here; logits spread over ±10. */
const TOLERANCE = 2e-3;

async function layModel(t: Test, name: string): Promise<{ folder: string; base: WeightFile }> {
  const bytes = await layHfModel(name);
  const store = await createFileContentStore(t.testdir());
  const fileName = await store.put(bytes);
  return { folder: store.folder, base: { fileName, file: await readTensorFile(bufferSource(bytes)) } };
}

/** What each model's shape has beside the sizes that all share. */
const traits: Record<string, object> = {
  'llama-linear': {
    architecture: 'llama',
    tiedHead: true,
    ropeScaling: { rope_type: 'linear', factor: 3 },
  },
  'llama-llama3-shards': { architecture: 'llama', tiedHead: false, ropeScaling: { rope_type: 'llama3' } },
  'llama-yarn': {
    architecture: 'llama',
    // 0.1 · ln 4 + 1
    ropeScaling: { rope_type: 'yarn', attention_factor: 1.1386294361119891, beta_fast: 32, beta_slow: 1 },
  },
  'mistral-window': { architecture: 'mistral', slidingWindow: 7, ropeScaling: undefined },
  qwen2: { architecture: 'qwen2', qkvBias: true, slidingWindow: undefined, ropeScaling: undefined },
  'qwen2-yarn': { architecture: 'qwen2', qkvBias: true, ropeScaling: { truncate: false, beta_fast: 8 } },
};

for (const [name, shape] of Object.entries(traits)) {
  t.test(`${name}: 40 tokens at once and one by one, logits within 2e-3 of PyTorch's`, async (t) => {
    const { folder, base } = await layModel(t, name);
    t.equal(base.file.metadata.layoutVersion, '2', 'readers of version 1 would compute it wrongly');
    t.match(JSON.parse(base.file.metadata.shape ?? ''), {
      layers: 2,
      hidden: 48,
      headDim: 16,
      ropeTheta: 500,
      ...shape,
    });
    const expected = await openTensorFile(join(hfModels, name, 'expected.safetensors'));
    const ids = [...(await readInts(expected, 'ids'))];
    const wanted = await readFloats(expected, 'logits', [40, 61]);
    const model = { folder, base, overlay: null, genome: null };
    const whole = largestDifference(await modelLogits(model, ids), wanted);
    t.ok(whole <= TOLERANCE, `at once: ${whole}`);

    const decoder = await openDecoder(createNodeRuntime(), model, { threads: 1, positions: 48 });
    let worst = 0;
    for (let at = 11; at < ids.length; at++) {
      const logits = at === 11 ? await decoder.prefill(ids.slice(0, 12)) : await decoder.step(ids[at] ?? 0);
      worst = Math.max(worst, largestDifference(logits, wanted.subarray(at * 61, (at + 1) * 61)));
    }
    await decoder.close();
    t.ok(worst <= TOLERANCE, `one by one: ${worst}`);
  });

  t.test(`${name}: rows of 40, 9 and 23 tokens side by side score as PyTorch's logits say`, async (t) => {
    const { folder, base } = await layModel(t, name);
    const expected = await openTensorFile(join(hfModels, name, 'expected.safetensors'));
    const ids = await readInts(expected, 'ids');
    const logits = await readFloats(expected, 'logits');
    const rows = [40, 9, 23].map((length) => ({ ids: ids.slice(0, length), targetStart: 3 }));
    const scorer = await openScorer(createNodeRuntime(), { folder, base, adapter: null, threads: 1 });
    const scores = await scorer.scoreModel({ folder, base, overlay: null, genome: null }, rows);
    await scorer.close();
    for (const [index, { ids: of, targetStart }] of rows.entries()) {
      let nll = 0;
      for (let at = targetStart; at < of.length; at++) {
        const row = logits.subarray((at - 1) * 61, at * 61);
        const sum = row.reduce((total, value) => total + Math.exp(value), 0);
        nll += Math.log(sum) - (row[of[at] ?? 0] as number);
      }
      const found = scores[index]?.nll ?? Number.NaN;
      t.ok(Math.abs(found - nll) <= TOLERANCE * of.length, `row ${index}: ${found}, wanted ${nll}`);
    }
  });
}
