import { huggingFaceTensors } from '@fleetlora/bench/lib/random-hf-model';
import { createRandom } from '@fleetlora/shared/random';
import {
  type Genome,
  type LayerGenome,
  type Precision,
  skippedLayer,
  uniformGenome,
} from '@fleetlora/shared/space';
import { roundToHalf } from '@fleetlora/shared/weights';
import t from 'tap';
import {
  type ExportedFolder,
  exportModel,
  openExportedGguf,
  openTensors,
  readAll,
  readExportedJson,
} from '../lib/export-folders.js';
import { plainGguf } from '../lib/plain-gguf.js';
import { type HfConfig, type HfWeights, hfLogits } from '../lib/plain-hf.js';
import { type PlainLlama, readPlainLlama } from '../lib/plain-llama.js';
import { applyPeft } from '../lib/plain-peft.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { largestDifference } from '../lib/run-logits.js';
import { openOnnxFolder } from '../lib/run-onnx-folder.js';
import { createTinyModel, randomRows, tinyShape } from '../lib/tiny-model.js';

/**
 * Every export is computed by what a stock tool does with its files, written down plainly, and
 * compared with the full-size computation of the candidate, in which what it leaves out is multiplied
 * by zero. Logits reach 16. `SAME`: weights are the same F32 values, and both sides compute in double
 * precision. `ROUNDED`: sums of weights were rounded to F32 once. `SINGLE`: the tool computes in F32.
 */
const [SAME, ROUNDED, SINGLE] = [1e-9, 1e-4, 1e-3];

const shape = { ...tinyShape, ...quantisableShape };
const SEED = 3;
const ids = Array.from(randomRows(shape, [9])[0]?.ids ?? []);
const model = await createTinyModel(t.testdir(), { shape: quantisableShape, seed: SEED });
/** The model before it was laid out, in its own order of channels. */
const original: HfWeights = new Map(
  huggingFaceTensors(shape, createRandom(SEED)).map(({ name, data }) => [name, data as Float32Array]),
);
const originalConfig: HfConfig = {
  num_hidden_layers: 3,
  hidden_size: 64,
  intermediate_size: 128,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 16,
  vocab_size: 50,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  rope_parameters: { rope_type: 'default', rope_theta: 10000 },
};

const none = { qkv: 0, o: 0, gateUp: 0, down: 0 };
const mixed = [
  { qkv: 4, o: 2, gateUp: 3, down: 1 },
  { qkv: 1, o: 4, gateUp: 0, down: 3 },
  { qkv: 2, o: 0, gateUp: 4, down: 4 },
];
const byLayer = (genes: (layer: number) => LayerGenome, form: Genome['form'] = 'unmerged'): Genome => ({
  form,
  layers: [0, 1, 2].map(genes),
});
const widths = [64, 96, 32];
const ranked = (layer: number, width: number, kvHeads?: number): LayerGenome => ({
  ranks: mixed[layer] ?? none,
  width,
  ...(kvHeads !== undefined && { kvHeads }),
});

interface Case {
  readonly genome: Genome;
  /** Sizes of the exported model. */
  readonly layers: number;
  readonly width: number;
  readonly kvHeads: number;
  /** The adapter alone is enough for PEFT. */
  readonly isWhole?: boolean;
}
const cases: Readonly<Record<string, Case>> = {
  'ranks of 0 to 4': {
    genome: byLayer((layer) => ranked(layer, 128)),
    ...{ layers: 3, width: 128, kvHeads: 4, isWhole: true },
  },
  'FFN widths 64, 96, 32 and heads 2, 1, 2 of 4': {
    genome: byLayer((layer) => ranked(layer, widths[layer] ?? 0, [2, 1, 2][layer])),
    ...{ layers: 3, width: 96, kvHeads: 2 },
  },
  // 64 is no multiple of 3 · 2 heads, so a fourth one of zeros is added.
  'heads 3, 1, 3 of 4': {
    genome: byLayer((layer) => ranked(layer, 128, [3, 1, 3][layer])),
    ...{ layers: 3, width: 128, kvHeads: 4 },
  },
  'the second layer left out, widths 64 and 32': {
    genome: byLayer((layer) => (layer === 1 ? skippedLayer : ranked(layer, widths[layer] ?? 0))),
    ...{ layers: 2, width: 64, kvHeads: 4 },
  },
  'merged, widths 64, 96, 32': {
    genome: byLayer((layer) => ranked(layer, widths[layer] ?? 0), 'merged'),
    ...{ layers: 3, width: 96, kvHeads: 4 },
  },
  'no adapter': {
    genome: uniformGenome(3, 0, 128),
    ...{ layers: 3, width: 128, kvHeads: 4, isWhole: true },
  },
};
const precisionsOf = (name: string): readonly Precision[] =>
  name === 'ranks of 0 to 4' || name.startsWith('FFN') ? ['fp32', 'q8', 'q4'] : ['fp32'];

const flat = (rows: readonly ArrayLike<number>[]): number[] => rows.flatMap((row) => Array.from(row));
const configOf = (folder: ExportedFolder, path = 'config.json'): HfConfig =>
  readExportedJson(folder, path) as HfConfig;
const weightsOf = async (folder: ExportedFolder, path = 'model.safetensors'): Promise<HfWeights> =>
  readAll(await openTensors(folder, path));

t.test('the original model by its own tensors and by its base file', async (t) => {
  const plain = await readPlainLlama(model);
  t.ok(
    largestDifference(flat(hfLogits(originalConfig, original, ids)), flat(plain.logits(ids, null))) <= SAME,
    'both computations agree',
  );
});

const plains = new Map<Precision, { model: typeof model; plain: PlainLlama }>();
for (const precision of ['fp32', 'q8', 'q4'] as const) {
  const twin = await quantiseTinyModel(model, precision);
  plains.set(precision, { model: twin, plain: await readPlainLlama(twin) });
}

for (const [name, { genome: chosen, isWhole, ...sizes }] of Object.entries(cases))
  for (const precision of precisionsOf(name)) {
    const genome: Genome = { ...chosen, ...(precision !== 'fp32' && { precision }) };
    const { model: twin, plain } = plains.get(precision) as { model: typeof model; plain: PlainLlama };
    const files = { base: twin.base.file, adapter: twin.adapter.file, genome };
    const wanted = flat(plain.logits(ids, { ...genome, form: 'unmerged' }));
    const hasAdapter = name !== 'no adapter';
    const differs = (rows: readonly ArrayLike<number>[]): number => largestDifference(flat(rows), wanted);

    t.test(`${precision}, ${name}: hf, one model of the widest layer's sizes`, async (t) => {
      const folder = await exportModel(files, 'hf');
      t.same(
        [...folder.keys()],
        [
          'config.json',
          'generation_config.json',
          'tokenizer.json',
          'tokenizer_config.json',
          'model.safetensors',
        ],
      );
      const config = configOf(folder);
      t.match(config, {
        architectures: ['LlamaForCausalLM'],
        num_hidden_layers: sizes.layers,
        intermediate_size: sizes.width,
        num_key_value_heads: sizes.kvHeads,
        num_attention_heads: 2 * sizes.kvHeads,
      });
      const difference = differs(hfLogits(config, await weightsOf(folder), ids));
      t.ok(difference <= ROUNDED, `largest difference ${difference}`);
    });

    t.test(
      `${precision}, ${name}: peft, over ${isWhole ? 'the original' : 'the base beside it'}`,
      async (t) => {
        if (!hasAdapter) {
          await t.rejects(exportModel(files, 'peft'), {
            code: 'ADAPTER_CONFIG',
            message: /rank 0 everywhere/,
          });
          return;
        }
        const folder = await exportModel(files, 'peft');
        const fitsOriginal = isWhole === true && precision === 'fp32';
        t.equal(folder.has('base/config.json'), !fitsOriginal, 'base/ comes along where it is needed');
        const config = fitsOriginal ? originalConfig : configOf(folder, 'base/config.json');
        const base = fitsOriginal ? original : await weightsOf(folder, 'base/model.safetensors');
        const sums = await applyPeft(
          base,
          readExportedJson(folder, 'adapter_config.json'),
          await openTensors(folder, 'adapter_model.safetensors'),
        );
        const difference = differs(hfLogits(config, sums, ids));
        t.ok(difference <= SAME, `largest difference ${difference}`);
      },
    );

    t.test(`${precision}, ${name}: gguf, as llama.cpp computes it`, async (t) => {
      const folder = await exportModel(files, 'gguf');
      const isOne = genome.form === 'merged' || !hasAdapter;
      t.same([...folder.keys()], isOne ? ['model.gguf'] : ['base.gguf', 'adapter.gguf']);
      const base = await openExportedGguf(folder, isOne ? 'model.gguf' : 'base.gguf');
      const lora = isOne ? null : await openExportedGguf(folder, 'adapter.gguf');
      const { config, weights, pairing } = plainGguf(base, lora);
      t.equal(pairing, 'neighbours');
      const difference = differs(hfLogits(config, weights, ids, pairing));
      t.ok(difference <= ROUNDED, `largest difference ${difference}`);
    });

    t.test(`${precision}, ${name}: onnx, at once, by the cache, and padded beside another row`, async (t) => {
      const folder = await exportModel(files, 'onnx');
      const config = configOf(folder);
      t.match(config, { 'transformers.js_config': { dtype: 'fp32', use_external_data_format: true } });
      const decoder = await openOnnxFolder(folder, t.testdir(), config);
      t.teardown(() => decoder.release());
      const slots = Array.from({ length: sizes.layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
      t.same(
        [...decoder.inputNames].sort(),
        [
          'input_ids',
          'attention_mask',
          'position_ids',
          ...slots.map((slot) => `past_key_values.${slot}`),
        ].sort(),
      );
      t.same([...decoder.outputNames].sort(), ['logits', ...slots.map((slot) => `present.${slot}`)].sort());
      const whole = { ids, mask: ids.map(() => 1 as const) };
      const short = {
        ids: [0, 0, 0, ...ids.slice(0, 6)],
        mask: ids.map((_, at) => (at < 3 ? 0 : 1) as 0 | 1),
      };
      const [atOnce = []] = await decoder.read([whole]);
      t.ok(largestDifference(atOnce, wanted) <= SINGLE, `at once: ${largestDifference(atOnce, wanted)}`);
      const [byCache = []] = await decoder.read([whole], 4);
      t.ok(largestDifference(byCache, wanted) <= SINGLE, `4, 4 and 1: ${largestDifference(byCache, wanted)}`);
      const [beside = [], padded = []] = await decoder.read([whole, short], 5);
      t.ok(largestDifference(beside, wanted) <= SINGLE, 'another row changes nothing');
      const real = padded.slice(3 * config.vocab_size);
      const first = wanted.slice(0, 6 * config.vocab_size);
      t.ok(largestDifference(real, first) <= SINGLE, `padded: ${largestDifference(real, first)}`);
    });
  }

t.test(
  'f16: matrices are the nearest halves, vectors of GGUF stay F32, and the configs say so',
  async (t) => {
    const { genome } = cases['FFN widths 64, 96, 32 and heads 2, 1, 2 of 4'] as Case;
    const files = { base: model.base.file, adapter: model.adapter.file, genome };
    const half = (values: ArrayLike<number>): number[] => Array.from(values, roundToHalf);

    const hf = { f32: await exportModel(files, 'hf'), f16: await exportModel(files, 'hf', 'f16') };
    t.equal((readExportedJson(hf.f16, 'config.json') as { dtype: string }).dtype, 'float16');
    t.equal((readExportedJson(hf.f32, 'config.json') as { dtype: string }).dtype, 'float32');
    const narrow = await openTensors(hf.f16, 'model.safetensors');
    const narrowed = await readAll(narrow);
    for (const [name, values] of await weightsOf(hf.f32)) {
      t.equal(narrow.tensors.get(name)?.dtype, 'F16', name);
      t.same([...(narrowed.get(name) ?? [])], half(values), name);
    }

    const gguf = { f32: await exportModel(files, 'gguf'), f16: await exportModel(files, 'gguf', 'f16') };
    const [wide, small] = [
      await openExportedGguf(gguf.f32, 'base.gguf'),
      await openExportedGguf(gguf.f16, 'base.gguf'),
    ];
    t.equal(wide.metadata.get('general.file_type'), 0);
    t.equal(small.metadata.get('general.file_type'), 1);
    for (const [name, values] of wide.values) {
      const isVector = wide.tensors.get(name)?.shape.length === 1;
      t.equal(small.tensors.get(name)?.type.name, isVector ? 'F32' : 'F16', name);
      t.same([...(small.values.get(name) ?? [])], isVector ? [...values] : half(values), name);
    }
    t.same(gguf.f16.get('adapter.gguf'), gguf.f32.get('adapter.gguf'), 'factors are F32 in both');
    await t.rejects(exportModel(files, 'onnx', 'f16'), { code: 'WEIGHT_DTYPE', message: /f16.*f32/ });
  },
);
