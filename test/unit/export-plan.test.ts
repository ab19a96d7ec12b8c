import { readModelShape } from '@fleetlora/shared/graph';
import { type Genome, type LayerGenome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  createBufferSink,
  type ExportDtype,
  type ExportKind,
  encodeAdapterFile,
  encodeTensorFile,
  layBase,
  openExport,
  openHfModel,
  parseModelConfig,
  parsePeftConfig,
  planExport,
  planWholePeft,
  readFloats,
  readPeftAdapter,
  readTensorFile,
  type TensorFile,
  type TensorToWrite,
  tensorsOf,
} from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import {
  collectFiles,
  type ExportedFolder,
  exportModel,
  exportTokenizer,
  openExportedGguf,
  openTensors,
  readExportedJson,
} from '../lib/export-folders.js';
import { tinyConfig, tinyModelFile, tinyPeftConfig, tinyPeftTensors } from '../lib/tiny-llama.js';

const open = (bytes: Uint8Array): Promise<TensorFile> => readTensorFile(bufferSource(bytes));
const encode = (tensors: readonly TensorToWrite[]): Promise<TensorFile> =>
  open(encodeTensorFile(tensors, {}, { alignment: 'none' }));

/** Two layers, 32 hidden, an FFN of 8 channels, two heads over one key/value head. */
const sink = createBufferSink();
await layBase(
  openHfModel(parseModelConfig(tinyConfig), tensorsOf(await open(tinyModelFile())), ''),
  { tokenizerDigest: '' },
  sink,
);
const base = await open(sink.bytes());
const digest = 'd'.repeat(64);
const importPeft = async (config: unknown, tensors: readonly TensorToWrite[]): Promise<TensorFile> =>
  open(await readPeftAdapter(config, await encode(tensors), { file: base, digest }));
/** Rank 4, every product times 8 / 4. */
const adapter = await importPeft(tinyPeftConfig(), tinyPeftTensors());

const none = { qkv: 0, o: 0, gateUp: 0, down: 0 };
const two = (first: LayerGenome, second: LayerGenome, form: Genome['form'] = 'unmerged'): Genome => ({
  form,
  layers: [first, second],
});
const exportTiny = (genome: Genome, kind: ExportKind, dtype?: ExportDtype): Promise<ExportedFolder> =>
  exportModel({ base, adapter, genome }, kind, dtype ?? null);

const hfFiles = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'];
const peftFiles = ['adapter_config.json', 'adapter_model.safetensors'];
const whole = uniformGenome(2, 4, 8);
const cut = two({ ranks: { ...none, qkv: 2 }, width: 8 }, { ranks: { ...none, down: 1 }, width: 4 });

t.test('the files of each kind, whole and cut, merged and without an adapter', async (t) => {
  const files = async (genome: Genome, kind: ExportKind) => [...(await exportTiny(genome, kind)).keys()];
  t.same(await files(whole, 'peft'), peftFiles);
  t.same(await files(cut, 'peft'), [
    ...peftFiles,
    ...hfFiles.map((file) => `base/${file}`),
    'base/model.safetensors',
  ]);
  t.same(await files({ ...whole, form: 'merged' }, 'peft'), peftFiles, 'the adapter that would be merged');
  for (const genome of [whole, cut]) {
    t.same(await files(genome, 'hf'), [...hfFiles, 'model.safetensors']);
    t.same(await files(genome, 'gguf'), ['base.gguf', 'adapter.gguf']);
    t.same(await files({ ...genome, form: 'merged' }, 'gguf'), ['model.gguf']);
    t.same(await files(genome, 'onnx'), [...hfFiles, 'onnx/model.onnx', 'onnx/model.onnx_data']);
  }
  t.same(await files(uniformGenome(2, 0, 8), 'gguf'), ['model.gguf']);
  await t.rejects(files(uniformGenome(2, 0, 8), 'peft'), coded('ADAPTER_CONFIG', 'rank 0'));
});

t.test('hf: a layer of 4 channels beside one of 8 has zeros in the rows and columns 4 to 7', async (t) => {
  const folder = await exportTiny(cut, 'hf');
  t.match(readExportedJson(folder, 'config.json'), {
    ...{ intermediate_size: 8, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 },
    ...{ head_dim: 16, hidden_size: 32, vocab_size: 257, eos_token_id: 0, model_type: 'llama' },
  });
  const file = await openTensors(folder, 'model.safetensors');
  const at = (layer: number, module: string) =>
    readFloats(file, `model.layers.${layer}.mlp.${module}.weight`);
  for (const module of ['gate_proj', 'up_proj']) {
    const narrow = await at(1, module);
    t.ok(
      narrow.subarray(0, 4 * 32).every((value) => value !== 0),
      `${module}: 4 rows`,
    );
    t.ok(
      narrow.subarray(4 * 32).every((value) => value === 0),
      `${module}: 4 rows of zeros`,
    );
    t.ok(
      (await at(0, module)).every((value) => value !== 0),
      `${module} of the wide layer`,
    );
  }
  const down = await at(1, 'down_proj');
  t.equal(down.length, 32 * 8);
  t.ok(down.every((value, index) => (value === 0) === index % 8 > 3));
});

t.test(
  'peft: patterns name what differs from the largest rank; a module without an adapter no target',
  async (t) => {
    const genome = two(
      { ranks: { qkv: 4, o: 2, gateUp: 0, down: 1 }, width: 8 },
      { ranks: { qkv: 1, o: 4, gateUp: 4, down: 1 }, width: 8 },
    );
    const folder = await exportTiny(genome, 'peft');
    const config = readExportedJson(folder, 'adapter_config.json') as Record<string, unknown>;
    t.match(config, { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8, bias: 'none' });
    t.same(config.rank_pattern, {
      'layers.0.self_attn.o_proj': 2,
      'layers.0.mlp.down_proj': 1,
      'layers.1.self_attn.q_proj': 1,
      'layers.1.self_attn.k_proj': 1,
      'layers.1.self_attn.v_proj': 1,
      'layers.1.mlp.down_proj': 1,
    });
    // Every product is doubled, whatever its rank.
    t.same(config.alpha_pattern, {
      'layers.0.self_attn.o_proj': 4,
      'layers.0.mlp.down_proj': 2,
      'layers.1.self_attn.q_proj': 2,
      'layers.1.self_attn.k_proj': 2,
      'layers.1.self_attn.v_proj': 2,
      'layers.1.mlp.down_proj': 2,
    });
    const targets = config.target_modules as string[];
    t.equal(targets.length, 12);
    t.notOk(targets.includes('layers.0.mlp.gate_proj'));
    t.ok(targets.includes('layers.1.mlp.gate_proj'));
    const file = await openTensors(folder, 'adapter_model.safetensors');
    const shapeOf = (name: string) => file.tensors.get(`base_model.model.model.layers.${name}.weight`)?.shape;
    t.same(shapeOf('0.self_attn.o_proj.lora_A'), [2, 32]);
    t.same(shapeOf('0.self_attn.o_proj.lora_B'), [32, 2]);
    t.equal(shapeOf('0.mlp.gate_proj.lora_A'), undefined);
    const uniform = readExportedJson(await exportTiny(uniformGenome(2, 2, 8), 'peft'), 'adapter_config.json');
    t.match(uniform, {
      ...{ r: 2, lora_alpha: 4, rank_pattern: {}, alpha_pattern: {} },
      target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    });
  },
);

t.test('gguf: one alpha for the file, what is left of each scale is in B', async (t) => {
  const genome = two({ ranks: { ...none, o: 4 }, width: 8 }, { ranks: { ...none, o: 1 }, width: 8 });
  const lora = await openExportedGguf(await exportTiny(genome, 'gguf'), 'adapter.gguf');
  t.equal(lora.metadata.get('adapter.lora.alpha'), 4);
  t.equal(lora.metadata.get('general.type'), 'adapter');
  t.same(
    [...lora.values.keys()],
    [0, 1].flatMap((layer) => ['a', 'b'].map((factor) => `blk.${layer}.attn_output.weight.lora_${factor}`)),
  );
  // llama.cpp multiplies by alpha / rank: 4 / 4 and 4 / 1; wanted is 2 for both.
  for (const [layer, factor] of [
    [0, 2],
    [1, 0.5],
  ] as const) {
    const rank = layer === 0 ? 4 : 1;
    const stored = await readFloats(adapter, `layers.${layer}.o.B`, [4, 32]);
    const found = lora.values.get(`blk.${layer}.attn_output.weight.lora_b`) ?? [];
    t.same(
      [...found],
      Array.from({ length: 32 * rank }, (_, i) =>
        Math.fround((stored[(i % rank) * 32 + Math.floor(i / rank)] as number) * factor),
      ),
    );
  }
});

t.test('a candidate that these files do not hold is refused, saying what they hold', async (t) => {
  const refused = (genome: Genome, ...words: (string | number)[]) =>
    t.rejects(exportTiny(genome, 'hf'), coded('GENOME_OUTSIDE_SPACE', ...words));
  await refused(uniformGenome(3, 1, 8), '3 layers', 'base 2');
  await refused(uniformGenome(2, 5, 8), 'rank 5', '4');
  await refused(uniformGenome(2, 1, 9), 'width 9', '8');
  await refused({ ...whole, precision: 'q4' }, 'q4', 'fp32');
  await refused(two(skippedLayer, skippedLayer), 'all 2 layers');
  await t.rejects(exportTiny(whole, 'onnx', 'f16'), coded('WEIGHT_DTYPE', 'f16', 'f32'));
});

t.test('an adapter that the zeros of its base mask is exported as weights, and as no LoRA', async (t) => {
  const zeros = sink.bytes();
  const entry = base.tensors.get('layers.0.q');
  // The first row of q in the first layer.
  zeros.fill(0, entry?.offset, (entry?.offset ?? 0) + 4 * 32);
  const sparse = await open(zeros);
  const masked = await open(
    encodeAdapterFile({
      shape: readModelShape(base),
      ...{ baseDigest: digest, ffnOrderDigest: '', rankMax: 1, alpha: 1 },
      masked: 'fp32',
      factors: [0, 1].map(() => ({
        q: { a: new Float32Array(32).fill(1), b: new Float32Array(32).fill(1) },
      })),
    }),
  );
  const genome = uniformGenome(2, 1, 8);
  for (const kind of ['peft', 'gguf', 'onnx'] as const)
    await t.rejects(
      exportModel({ base: sparse, adapter: masked, genome }, kind),
      coded('ADAPTER_CONFIG', 'masked by the zeros', 'hf', 'merged'),
    );
  await t.rejects(planWholePeft(sparse, masked, null), coded('ADAPTER_CONFIG', 'masked by the zeros'));
  const folder = await exportModel({ base: sparse, adapter: masked, genome }, 'hf');
  const file = await openTensors(folder, 'model.safetensors');
  const q = await readFloats(file, 'model.layers.0.self_attn.q_proj.weight', [32, 32]);
  const was = await readFloats(sparse, 'layers.0.q', [32, 32]);
  t.ok(
    q.subarray(0, 32).every((value) => value === 0),
    'what was pruned stays so',
  );
  t.same(
    [...q.subarray(32)],
    Array.from(was.subarray(32), (value) => Math.fround(value + 1)),
  );
  const merged = await exportModel(
    { base: sparse, adapter: masked, genome: { ...genome, form: 'merged' } },
    'gguf',
  );
  t.same([...merged.keys()], ['model.gguf']);
});

/** PEFT tensors of rank 4, those of layer 0's gate of rank 2. */
function mixedTensors(dtype: 'F32' | 'F16'): TensorToWrite[] {
  return tinyPeftTensors().map((tensor) => {
    if (!tensor.name.includes('layers.0.mlp.gate_proj')) return { ...tensor, dtype };
    const shape = tensor.name.includes('lora_A') ? [2, 32] : [8, 2];
    return {
      ...tensor,
      dtype,
      shape,
      data: (tensor.data as Float32Array).slice(0, (shape[0] ?? 0) * (shape[1] ?? 0)),
    };
  });
}

async function sameTensors(
  t: Test,
  folder: ExportedFolder,
  tensors: readonly TensorToWrite[],
): Promise<void> {
  const [found, wanted] = [await openTensors(folder, 'adapter_model.safetensors'), await encode(tensors)];
  t.same([...found.tensors.keys()].sort(), [...wanted.tensors.keys()].sort());
  for (const [name, { dtype, shape, offset, bytes }] of wanted.tensors) {
    const entry = found.tensors.get(name);
    t.match(entry, { dtype, shape }, name);
    t.same(await found.source.read(entry?.offset ?? 0, bytes), await wanted.source.read(offset, bytes), name);
  }
}

// 7 / 2 against 8 / 4 for the others: B is folded by 1.75, and no F32 says every product by it.
for (const dtype of ['F32', 'F16'] as const)
  for (const [scales, alpha] of [
    ['by a power of two', 8],
    ['by 1.75', 7],
  ] as const)
    t.test(
      `PEFT in ${dtype}, one module of rank 2 whose scale differs ${scales}, comes back as it was`,
      async (t) => {
        const config = {
          ...tinyPeftConfig(),
          rank_pattern: { 'layers.0.mlp.gate_proj': 2 },
          alpha_pattern: { 'layers.0.mlp.gate_proj': alpha },
        };
        const ours = await importPeft(config, mixedTensors(dtype));
        t.equal(
          ours.tensors.has('layers.0.gate.B.imported'),
          dtype === 'F32' && alpha === 7,
          'B is kept where its scale cannot be taken out again',
        );
        const folder = await collectFiles(await planWholePeft(base, ours, null));
        await sameTensors(t, folder, mixedTensors(dtype));
        const [was, is] = [
          parsePeftConfig(config),
          parsePeftConfig(readExportedJson(folder, 'adapter_config.json')),
        ];
        for (const module of ['q_proj', 'gate_proj', 'down_proj'])
          for (const layer of [0, 1]) {
            const path = `model.layers.${layer}.${module === 'q_proj' ? 'self_attn' : 'mlp'}.${module}`;
            t.equal(is.rankOf(path), was.rankOf(path), path);
            t.equal(is.scaleOf(path), was.scaleOf(path), path);
            t.ok(is.adapts(layer, path));
          }
        const again = await importPeft(readExportedJson(folder, 'adapter_config.json'), mixedTensors(dtype));
        t.same(await again.source.read(0, again.size), await ours.source.read(0, ours.size), 'and in again');
      },
    );

t.test('a scale that no number of rank times scale says exactly is written as it was', async (t) => {
  t.not((1 / 49) * 49, 1);
  const ours = await importPeft(tinyPeftConfig(49, 1), tinyPeftTensors(49));
  const folder = await collectFiles(await planWholePeft(base, ours, null));
  t.match(readExportedJson(folder, 'adapter_config.json'), { r: 49, lora_alpha: 1, alpha_pattern: {} });
});

t.test('a whole adapter in a type that is asked for; a trained one is F32', async (t) => {
  const dtypeOf = async (file: TensorFile, dtype: ExportDtype | null) => {
    const folder = await collectFiles(await planWholePeft(base, file, dtype));
    const { tensors } = await openTensors(folder, 'adapter_model.safetensors');
    return [...new Set([...tensors.values()].map((entry) => entry.dtype))];
  };
  t.same(await dtypeOf(adapter, null), ['F16'], 'as it was imported');
  t.same(await dtypeOf(adapter, 'f32'), ['F32']);
  const { peft, ...metadata } = adapter.metadata;
  t.ok(peft);
  const trained: TensorFile = { ...adapter, metadata };
  t.same(await dtypeOf(trained, null), ['F32']);
  t.same(await dtypeOf(trained, 'f16'), ['F16']);
});

t.test('a tokenizer that llama.cpp would read otherwise', async (t) => {
  const tokenizer = exportTokenizer(257);
  t.equal((tokenizer.json as { model: { type: string } }).model.type, 'BPE');
  const source = await openExport({ base, adapter, genome: whole });
  const json = { ...(tokenizer.json as object), model: { type: 'WordPiece', vocab: {} } };
  await t.rejects(
    planExport(source, { kind: 'gguf', dtype: null, name: 'tiny', tokenizer: { ...tokenizer, json } }),
    coded('TOKENIZER', 'WordPiece', 'BPE'),
  );
});
