import {
  bufferSource,
  createBufferSink,
  encodeTensorFile,
  layBase,
  type ModelSource,
  openHfModel,
  orderChannels,
  pageBytes,
  parseModelConfig,
  readFloats,
  readInts,
  readTensorFile,
  ropeTables,
  type TensorToWrite,
  tensorsOf,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tinyConfig, tinyModelFile, tinyTensors } from '../lib/tiny-llama.js';

const digests = { sourceDigest: 'a'.repeat(64), tokenizerDigest: 'b'.repeat(64) };
const lay = async (file: Uint8Array, config: object = tinyConfig) => {
  const tensors = tensorsOf(await readTensorFile(bufferSource(file)));
  const source = openHfModel(parseModelConfig(config), tensors, digests.sourceDigest);
  const sink = createBufferSink();
  const { parameters } = await layBase(source, digests, sink);
  return { bytes: sink.bytes(), parameters };
};
const encode = (tensors: readonly TensorToWrite[]) => encodeTensorFile(tensors, {}, { alignment: 'none' });

t.test('channels are sorted by summed |gate row| + |up row| + |down column|, ties by number', async (t) => {
  // hidden 2, 4 channels. Sums: channel 0: 1+0 + 0+1 + 1+0 = 3; 1: 2+2 + 0+0 + 0+1 = 5;
  // 2: 0+1 + 1+0 + 0+1 = 3; 3: 3+0 + 3+0 + 0+0 = 6.
  const gate = Float32Array.of(1, 0, 2, -2, 0, 1, 3, 0);
  const up = Float32Array.of(0, -1, 0, 0, 1, 0, -3, 0);
  const down = Float32Array.of(1, 0, 0, 0, 0, -1, 1, 0);
  const columns: Record<string, number> = { 'layers.0.gate': 2, 'layers.0.up': 2, 'layers.0.down': 4 };
  const matrices: Record<string, Float32Array> = {
    'layers.0.gate': gate,
    'layers.0.up': up,
    'layers.0.down': down,
  };
  const config = parseModelConfig(tinyConfig);
  const source: ModelSource = {
    config: { ...config, shape: { ...config.shape, layers: 1, hidden: 2, ffnWidth: 4 } },
    sourceDigest: '',
    async readRows(name, first, rows) {
      const width = columns[name] ?? Number.NaN;
      return (matrices[name] as Float32Array).slice(first * width, (first + rows) * width);
    },
  };
  t.same([...(await orderChannels(source))], [3, 1, 0, 2]);
  gate[4] = Number.NaN;
  await t.rejects(orderChannels(source), coded('WEIGHT_NOT_FINITE', 'layer 0', 'channel 2'));
});

t.test('biases of q, k and v are kept where the shape has them, and counted', async (t) => {
  const sizes = { q: 32, k: 16, v: 16 };
  const biases = [0, 1].flatMap((layer) =>
    Object.entries(sizes).map(
      ([module, size]): TensorToWrite => ({
        name: `model.layers.${layer}.self_attn.${module}_proj.bias`,
        dtype: 'F32',
        shape: [size],
        data: Float32Array.from({ length: size }, (_, i) => layer + i / 64),
      }),
    ),
  );
  const config = { ...tinyConfig, architectures: ['Qwen2ForCausalLM'] };
  const { bytes, parameters } = await lay(encode([...tinyTensors(), ...biases]), config);
  const base = await readTensorFile(bufferSource(bytes));
  t.equal(base.metadata.layoutVersion, '2');
  t.equal(parameters, (await lay(tinyModelFile())).parameters + 2 * 64);
  for (const [at, { data }] of biases.entries())
    t.same(await readFloats(base, `layers.${at < 3 ? 0 : 1}.${'qkv'[at % 3]}.bias`), data);
  await t.rejects(lay(tinyModelFile(), config), coded('WEIGHT_MISSING', 'layers.0.self_attn.q_proj.bias'));
});

t.test('rope tables: position 0 is (1, 0); theta 100, head 4: frequencies 1 and 0.1', async (t) => {
  const { cos, sin } = ropeTables({ positions: 3, headDim: 4, ropeTheta: 100 });
  t.equal(cos.length, 6);
  t.same([...cos.subarray(0, 2), ...sin.subarray(0, 2)], [1, 1, 0, 0]);
  for (const [index, angle] of [1, 0.1, 2, 0.2].entries()) {
    t.ok(Math.abs((cos[2 + index] as number) - Math.cos(angle)) < 1e-6);
    t.ok(Math.abs((sin[2 + index] as number) - Math.sin(angle)) < 1e-6);
  }
});

t.test('a laid base: pages, sorted FFN [8, 32], down transposed, order, metadata', async (t) => {
  const { bytes, parameters } = await lay(tinyModelFile());
  const base = await readTensorFile(bufferSource(bytes));
  const source = await readTensorFile(bufferSource(tinyModelFile()));
  // embed 257 x 32, norm 32, and per layer 2 norms, q 1024, k 512, v 512, o 1024, gate, up, down 256 each.
  t.equal(parameters, 257 * 32 + 32 + 2 * (64 + 1024 + 512 + 512 + 1024 + 3 * 256));
  for (const [name, { offset }] of base.tensors) t.equal(offset % pageBytes, 0, name);
  const order = await readInts(base, 'ffnOrder');
  for (const layer of [0, 1]) {
    const own = order.subarray(8 * layer, 8 * layer + 8);
    t.same([...own].sort(), [0, 1, 2, 3, 4, 5, 6, 7], 'a permutation');
    const prefix = `model.layers.${layer}.mlp`;
    const [gate, up, down] = await Promise.all(
      ['gate', 'up', 'down'].map((module) => readFloats(source, `${prefix}.${module}_proj.weight`)),
    );
    const [laidGate, laidUp, laidDown] = await Promise.all(
      ['gate', 'up', 'down'].map((module) => readFloats(base, `layers.${layer}.${module}`, [8, 32])),
    );
    own.forEach((channel, sorted) => {
      for (let i = 0; i < 32; i++) {
        t.equal(laidGate?.[sorted * 32 + i], gate?.[channel * 32 + i]);
        t.equal(laidUp?.[sorted * 32 + i], up?.[channel * 32 + i]);
        t.equal(laidDown?.[sorted * 32 + i], down?.[i * 8 + channel]);
      }
    });
  }
  t.same([...(await readInts(base, 'headOrder'))], [0, 0]);
  t.match(base.metadata, {
    format: 'fleetlora-base',
    layoutVersion: '1',
    stopIds: '[0]',
    parameters: String(parameters),
    ...digests,
  });
  t.match(JSON.parse(base.metadata.shape ?? ''), {
    layers: 2,
    ffnWidth: 8,
    kvHeads: 1,
    headDim: 16,
    tiedHead: true,
  });
  t.equal(base.tensors.has('head'), false, 'a tied head is not stored twice');
});

for (const dtype of ['F16', 'BF16'] as const) {
  t.test(`a ${dtype} model is widened exactly`, async (t) => {
    const file = tinyModelFile(dtype);
    const base = await readTensorFile(bufferSource((await lay(file)).bytes));
    const source = await readTensorFile(bufferSource(file));
    t.equal(base.tensors.get('embed')?.dtype, 'F32');
    t.same(await readFloats(base, 'embed'), await readFloats(source, 'model.embed_tokens.weight'));
  });
}

t.test('an untied head is read and stored; a tied model may carry one that is ignored', async (t) => {
  const head: TensorToWrite = {
    name: 'lm_head.weight',
    dtype: 'F32',
    shape: [257, 32],
    data: new Float32Array(257 * 32),
  };
  const file = encode([...tinyTensors(), head]);
  const untied = await lay(file, { ...tinyConfig, tie_word_embeddings: false });
  t.ok((await readTensorFile(bufferSource(untied.bytes))).tensors.has('head'));
  await t.resolves(lay(file));
  await t.rejects(
    lay(tinyModelFile(), { ...tinyConfig, tie_word_embeddings: false }),
    coded('WEIGHT_MISSING', 'lm_head.weight'),
  );
});

t.test('models that are not what the config says', async (t) => {
  const without = tinyTensors().filter(({ name }) => name !== 'model.layers.1.mlp.up_proj.weight');
  await t.rejects(lay(encode(without)), coded('WEIGHT_MISSING', 'model.layers.1.mlp.up_proj.weight'));
  await t.rejects(
    lay(tinyModelFile(), { ...tinyConfig, intermediate_size: 16 }),
    coded('WEIGHT_SHAPE', '[8, 32]', '[16, 32]'),
  );
  await t.rejects(
    lay(tinyModelFile(), { ...tinyConfig, num_hidden_layers: 1 }),
    coded('UNSUPPORTED_ARCHITECTURE', 'model.layers.1', '1-layer'),
  );
  const bias: TensorToWrite = {
    name: 'model.layers.0.self_attn.q_proj.bias',
    dtype: 'F32',
    shape: [32],
    data: new Float32Array(32),
  };
  await t.rejects(lay(encode([...tinyTensors(), bias])), coded('UNSUPPORTED_ARCHITECTURE', 'q_proj.bias'));
  const infinite = tinyTensors();
  (infinite[0]?.data as Float32Array)[5] = Number.POSITIVE_INFINITY;
  await t.rejects(lay(encode(infinite)), coded('WEIGHT_NOT_FINITE', 'embed'));
  const ints = tinyTensors().map((tensor) =>
    tensor.name === 'model.norm.weight'
      ? { ...tensor, dtype: 'I32' as const, data: new Int32Array(32) }
      : tensor,
  );
  await t.rejects(lay(encode(ints)), coded('WEIGHT_DTYPE', 'model.norm.weight', 'I32', 'BF16'));
});

t.test('config.json: what would be computed wrongly is refused, naming found and wanted', async (t) => {
  const qwen = { architectures: ['Qwen2ForCausalLM'] };
  const bad: readonly [Record<string, unknown>, string, string][] = [
    [{ architectures: ['GPT2LMHeadModel'] }, 'GPT2LMHeadModel', 'MistralForCausalLM'],
    [{ architectures: ['toString'] }, 'toString', 'LlamaForCausalLM'],
    [{ architectures: undefined, model_type: 'phi3' }, 'phi3', 'Qwen2ForCausalLM'],
    [{ hidden_act: 'gelu' }, 'gelu', 'silu'],
    [{ attention_bias: true }, 'attention_bias', 'false'],
    [{ mlp_bias: true }, 'mlp_bias', 'false'],
    [{ rope_scaling: { type: 'dynamic', factor: 2 } }, 'dynamic', 'yarn'],
    [{ rope_parameters: { rope_type: 'longrope', rope_theta: 1 } }, 'longrope', 'llama3'],
    [{ rope_parameters: { partial_rotary_factor: 0.25 } }, '0.25', '1'],
    [{ head_dim: 24 }, '24', 'multiple of 16'],
    [{ partial_rotary_factor: 0.5 }, '0.5', '1'],
    [{ quantization_config: { bits: 4 } }, 'bits', 'fp16'],
    [{ ...qwen, use_sliding_window: true, max_window_layers: 1 }, 'use_sliding_window', 'false'],
    [{ ...qwen, layer_types: ['full_attention', 'sliding_attention'] }, 'sliding', 'full_attention'],
    [{ architectures: ['MistralForCausalLM'], layer_types: ['full_attention'] }, 'layer_types', 'no such'],
  ];
  for (const [change, found, wanted] of bad)
    t.throws(
      () => parseModelConfig({ ...tinyConfig, ...change }),
      coded('UNSUPPORTED_ARCHITECTURE', found, wanted),
      found,
    );
});

t.test('config.json: what each family takes for granted where it is silent', async (t) => {
  const { num_key_value_heads: _, max_position_embeddings: __, ...silent } = tinyConfig;
  const shapeOf = (change: object) =>
    parseModelConfig({ ...silent, num_attention_heads: 32, ...change }).shape;
  const mistral = { architectures: ['MistralForCausalLM'] };
  const qwen = { architectures: ['Qwen2ForCausalLM'] };
  t.match(shapeOf({}), { architecture: 'llama', kvHeads: 32, positions: 2048 });
  t.match(shapeOf(mistral), { architecture: 'mistral', kvHeads: 8, positions: 131072, slidingWindow: 4096 });
  t.match(shapeOf(qwen), { architecture: 'qwen2', kvHeads: 32, positions: 32768, qkvBias: true });
  t.match(shapeOf({ architectures: undefined, model_type: 'qwen2' }), { architecture: 'qwen2' });
  t.equal(shapeOf({ ...mistral, num_key_value_heads: null }).kvHeads, 32, 'null is not missing');
  t.notOk('slidingWindow' in shapeOf({ ...mistral, sliding_window: null }));
  t.notOk('slidingWindow' in shapeOf({ sliding_window: 16 }), 'Llama knows no window');
  t.notOk('qkvBias' in shapeOf({}));
  const late = { ...qwen, use_sliding_window: true, sliding_window: 16, max_window_layers: 2 };
  t.notOk('slidingWindow' in shapeOf(late), 'windows from a layer on that is not there');
  t.throws(() => shapeOf({ ...mistral, sliding_window: 0 }), coded('MODEL_CONFIG', 'sliding_window'));
});

t.test('config.json: numbers that are missing or impossible', async (t) => {
  const bad: readonly Record<string, unknown>[] = [
    { hidden_size: undefined },
    { num_hidden_layers: 0 },
    { num_hidden_layers: 129 },
    { vocab_size: 2 ** 24 + 1 },
    { intermediate_size: 8.5 },
    { num_attention_heads: 3, num_key_value_heads: 2 },
    { rms_norm_eps: -1 },
    { rope_theta: '10000' },
    { eos_token_id: null },
    { eos_token_id: 257 },
    { max_position_embeddings: 2 ** 20 + 1 },
    { rope_scaling: 'linear' },
  ];
  for (const change of bad)
    t.throws(
      () => parseModelConfig({ ...tinyConfig, ...change }),
      coded(
        'MODEL_CONFIG',
        { num_attention_heads: '3 heads', rope_scaling: 'rope_parameters' }[
          Object.keys(change)[0] as string
        ] ?? (Object.keys(change)[0] as string),
      ),
      JSON.stringify(change),
    );
  t.throws(() => parseModelConfig([]), { code: 'MODEL_CONFIG' });
  t.equal(parseModelConfig({ ...tinyConfig, num_hidden_layers: 128 }).shape.layers, 128);
  t.same(parseModelConfig({ ...tinyConfig, eos_token_id: 256 }).stopIds, [256]);
});

t.test('config.json: both spellings of rope, stop ids of both configs', async (t) => {
  t.equal(parseModelConfig({ ...tinyConfig, rope_theta: 5 }).shape.ropeTheta, 5);
  const spelled = { ...tinyConfig, rope_parameters: { rope_type: 'default', rope_theta: 7 } };
  t.equal(parseModelConfig(spelled).shape.ropeTheta, 7);
  t.same(
    parseModelConfig({ ...tinyConfig, eos_token_id: [3, 4] }, { eos_token_id: [4, 5] }).stopIds,
    [3, 4, 5],
  );
});
