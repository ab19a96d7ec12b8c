import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPackage, expandPackage, loadAdapterFactors, resolveCandidate } from '@fleetlora/shared/engine';
import { type ModuleName, moduleDims, moduleNames, type WeightFile } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { digestGenome, type Genome, uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  packageSize,
  readAdapterFacts,
  readFloats,
  readTensorFile,
  roundToHalf,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { type PlainLlama, readPlainLlama } from '../lib/plain-llama.js';
import { largestDifference, modelLogits, runLogits } from '../lib/run-logits.js';
import { merged, tinyGenomes } from '../lib/tiny-genomes.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

/** Single precision, 6e-8 relative, through some hundred sums of logits up to 10. */
const SINGLE = 5e-5;
/** Every matrix rounded to half precision, 2^-11 relative, through two layers. */
const HALF = 2e-2;

const ids = Array.from(randomRows(tinyShape, [11])[0]?.ids ?? []);
const flat = (rows: readonly Float64Array[]): number[] => rows.flatMap((row) => Array.from(row));
const logitsOf = (plain: PlainLlama, genome: Genome | null): number[] => flat(plain.logits(ids, genome));

async function packageOf(
  model: TinyModel,
  genome: Genome,
): Promise<{ bytes: Uint8Array; expanded: WeightFile }> {
  const bytes = await buildPackage(createNodeRuntime(), {
    base: model.base.file,
    adapter: model.adapter.file,
    genome,
    baseDigest: model.base.fileName,
    adapterDigest: model.adapter.fileName,
  });
  const expanded = await expandPackage(await readTensorFile(bufferSource(bytes)));
  const fileName = digestGenome(genome);
  await writeFile(join(model.folder, fileName), expanded);
  return { bytes, expanded: { fileName, file: await readTensorFile(bufferSource(expanded)) } };
}

t.test(
  'the base alone, tied and untied head, 1, 2 and 4 query heads a key head: the plain logits',
  async (t) => {
    for (const shape of [{}, { tiedHead: false }, { kvHeads: 4 }, { kvHeads: 1, headDim: 32, layers: 1 }]) {
      const model = await createTinyModel(t.testdir(), { shape });
      const found = await modelLogits({ ...model, overlay: null, genome: null }, ids);
      const wanted = logitsOf(await readPlainLlama(model), null);
      t.ok(
        largestDifference(found, wanted) < SINGLE,
        `${JSON.stringify(shape)} is ${largestDifference(found, wanted)} off`,
      );
    }
  },
);

for (const [name, genome] of Object.entries(tinyGenomes)) {
  t.test(`${name}: constants, inputs, package unmerged and merged give the same logits`, async (t) => {
    const model = await createTinyModel(t.testdir());
    const { folder, base, adapter } = model;
    const plain = await readPlainLlama(model);
    const wanted = logitsOf(plain, genome);
    t.ok(largestDifference(wanted, logitsOf(plain, null)) > 0.5, 'the candidate is far from the base');

    const constants = await modelLogits({ folder, base, overlay: adapter, genome }, ids);
    t.ok(
      largestDifference(constants, wanted) < SINGLE,
      `constants are ${largestDifference(constants, wanted)} off`,
    );

    const factors = await loadAdapterFactors(adapter.file, model.shape);
    const resolved = {
      ...resolveCandidate({ folder, base, overlay: adapter, genome }),
      lora: 'inputs' as const,
    };
    const inputs = await runLogits({
      resolved,
      folder,
      ids,
      inputs: { modules: moduleNames, feeds: factors.feeds(genome) },
    });
    t.ok(largestDifference(inputs, wanted) < SINGLE, `inputs are ${largestDifference(inputs, wanted)} off`);

    const unmerged = await packageOf(model, genome);
    const shipped = await modelLogits({ folder, base, overlay: unmerged.expanded, genome }, ids);
    t.ok(
      largestDifference(shipped, wanted) < HALF,
      `unmerged package is ${largestDifference(shipped, wanted)} off`,
    );
    t.equal(unmerged.bytes.length, packageSize(genome, model.shape, readAdapterFacts(adapter.file)));

    const whole = await packageOf(model, merged(genome));
    const mergedModel = { folder, base, overlay: whole.expanded, genome: merged(genome) };
    const mergedLogits = await modelLogits(mergedModel, ids);
    t.ok(
      largestDifference(mergedLogits, wanted) < HALF,
      `merged package is ${largestDifference(mergedLogits, wanted)} off`,
    );
    t.equal(whole.bytes.length, packageSize(merged(genome), model.shape, readAdapterFacts(adapter.file)));

    // With the factors rounded as the package rounds them, nothing but single precision is left.
    for (const [key, values] of plain.factors) plain.factors.set(key, values.map(roundToHalf));
    const rounded = logitsOf(plain, genome);
    t.ok(
      largestDifference(shipped, rounded) < SINGLE,
      `rounded factors are ${largestDifference(shipped, rounded)} off`,
    );
  });
}

t.test(
  'merged package: every weight is W + 2·(B·A), cut to the width and rounded once to half precision',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const genome = tinyGenomes['every group and layer its own rank, widths 12 and 18'] as Genome;
    const { expanded } = await packageOf(model, merged(genome));
    const { factors } = await readPlainLlama(model);
    const groups = {
      q: 'qkv',
      k: 'qkv',
      v: 'qkv',
      o: 'o',
      gate: 'gateUp',
      up: 'gateUp',
      down: 'down',
    } as const;
    for (const [layer, { ranks, width }] of genome.layers.entries()) {
      for (const module of moduleNames) {
        const name = `layers.${layer}.${module}`;
        const [input, output] = moduleDims(model.shape, module, width);
        const [fullInput, fullOutput] = moduleDims(model.shape, module);
        const found = await readFloats(
          expanded.file,
          name,
          module === 'down' ? [input, output] : [output, input],
        );
        const stored = await readFloats(model.base.file, name);
        const a = factors.get(`${name}.A`) as Float64Array;
        const b = factors.get(`${name}.B`) as Float64Array;
        let worst = 0;
        for (let o = 0; o < output; o++) {
          for (let i = 0; i < input; i++) {
            const at = module === 'down' ? i * output + o : o * input + i;
            let exact = stored[module === 'down' ? i * fullOutput + o : o * fullInput + i] as number;
            for (let r = 0; r < ranks[groups[module]]; r++)
              exact += 2 * (b[r * fullOutput + o] as number) * (a[r * fullInput + i] as number);
            // Half a unit of 11 significant bits, and single precision before it.
            worst = Math.max(
              worst,
              Math.abs((found[at] as number) - exact) / (2 ** -11 * Math.abs(exact) + 1e-6),
            );
          }
        }
        t.ok(worst <= 1, `${name} is ${worst.toFixed(3)} of the allowed rounding off`);
      }
    }
  },
);

t.test('rank 0 in every group equals the base alone, in both forms', async (t) => {
  const model = await createTinyModel(t.testdir());
  const { folder, base, adapter } = model;
  const genome = uniformGenome(2, 0, 24);
  const wanted = logitsOf(await readPlainLlama(model), null);
  const unmerged = await modelLogits({ folder, base, overlay: adapter, genome }, ids);
  t.ok(largestDifference(unmerged, wanted) < SINGLE);
  const { expanded } = await packageOf(model, merged(genome));
  const found = await modelLogits({ folder, base, overlay: expanded, genome: merged(genome) }, ids);
  t.ok(largestDifference(found, wanted) < HALF);
});

for (const modules of [['q', 'v'], ['gate', 'up', 'down'], ['o']] as ModuleName[][]) {
  t.test(
    `super-adapter of ${modules.join(', ')} alone: the other modules run without an adapter`,
    async (t) => {
      const model = await createTinyModel(t.testdir(), { modules });
      const { folder, base, adapter } = model;
      const genome = uniformGenome(2, 3, 18);
      const wanted = logitsOf(await readPlainLlama(model), genome);
      t.ok(
        largestDifference(await modelLogits({ folder, base, overlay: adapter, genome }, ids), wanted) <
          SINGLE,
        'constants',
      );
      const factors = await loadAdapterFactors(adapter.file, model.shape);
      t.same(factors.facts.modules, modules);
      const resolved = {
        ...resolveCandidate({ folder, base, overlay: adapter, genome }),
        lora: 'inputs' as const,
      };
      const inputs = await runLogits({
        resolved,
        folder,
        ids,
        inputs: { modules, feeds: factors.feeds(genome) },
      });
      t.ok(largestDifference(inputs, wanted) < SINGLE, 'inputs');
      const { expanded } = await packageOf(model, merged(genome));
      const shipped = await modelLogits({ folder, base, overlay: expanded, genome: merged(genome) }, ids);
      t.ok(largestDifference(shipped, wanted) < HALF, 'merged package');
    },
  );
}
