import {
  bufferSource,
  encodeTensorFile,
  layBase,
  pageBytes,
  parseLlamaConfig,
  readFloats,
  readInts,
  readTensorFile,
  ropeTables,
  sortChannels,
  type TensorToWrite,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tinyConfig, tinyModelFile, tinyTensors } from '../lib/tiny-llama.js';

const digests = { sourceDigest: 'a'.repeat(64), tokenizerDigest: 'b'.repeat(64) };
const lay = async (file: Uint8Array, config: object = tinyConfig) =>
  layBase({ config: parseLlamaConfig(config), file: await readTensorFile(bufferSource(file)), ...digests });
const encode = (tensors: readonly TensorToWrite[]) => encodeTensorFile(tensors, {}, { alignment: 'none' });

t.test('channels are sorted by summed |gate row| + |up row| + |down column|, ties by number', async (t) => {
  // hidden 2, 4 channels. Sums: channel 0: 1+0 + 0+1 + 1+0 = 3; 1: 2+2 + 0+0 + 0+1 = 5;
  // 2: 0+1 + 1+0 + 0+1 = 3; 3: 3+0 + 3+0 + 0+0 = 6.
  const gate = Float32Array.of(1, 0, 2, -2, 0, 1, 3, 0);
  const up = Float32Array.of(0, -1, 0, 0, 1, 0, -3, 0);
  const down = Float32Array.of(1, 0, 0, 0, 0, -1, 1, 0);
  t.same([...sortChannels({ gate, up, down }, 2, 4)], [3, 1, 0, 2]);
  gate[4] = Number.NaN;
  t.throws(() => sortChannels({ gate, up, down }, 2, 4), coded('WEIGHT_NOT_FINITE', 'channel 2'));
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
  const bad: readonly [Record<string, unknown>, string, string][] = [
    [{ architectures: ['MistralForCausalLM'] }, 'MistralForCausalLM', 'LlamaForCausalLM'],
    [{ hidden_act: 'gelu' }, 'gelu', 'silu'],
    [{ attention_bias: true }, 'attention_bias', 'false'],
    [{ mlp_bias: true }, 'mlp_bias', 'false'],
    [{ rope_scaling: { type: 'linear', factor: 2 } }, 'linear', 'null'],
    [{ rope_parameters: { rope_type: 'llama3', rope_theta: 1 } }, 'llama3', 'default'],
    [{ head_dim: 24 }, '24', 'multiple of 16'],
    [{ partial_rotary_factor: 0.5 }, '0.5', '1'],
    [{ quantization_config: { bits: 4 } }, 'bits', 'fp16'],
  ];
  for (const [change, found, wanted] of bad)
    t.throws(
      () => parseLlamaConfig({ ...tinyConfig, ...change }),
      coded('UNSUPPORTED_ARCHITECTURE', found, wanted),
      found,
    );
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
  ];
  for (const change of bad)
    t.throws(
      () => parseLlamaConfig({ ...tinyConfig, ...change }),
      coded(
        'MODEL_CONFIG',
        Object.keys(change)[0] === 'num_attention_heads' ? '3 heads' : (Object.keys(change)[0] as string),
      ),
      JSON.stringify(change),
    );
  t.throws(() => parseLlamaConfig([]), { code: 'MODEL_CONFIG' });
  t.equal(parseLlamaConfig({ ...tinyConfig, num_hidden_layers: 128 }).shape.layers, 128);
  t.same(parseLlamaConfig({ ...tinyConfig, eos_token_id: 256 }).stopIds, [256]);
});

t.test('config.json: both spellings of rope, stop ids of both configs', async (t) => {
  t.equal(parseLlamaConfig({ ...tinyConfig, rope_theta: 5 }).shape.ropeTheta, 5);
  const spelled = { ...tinyConfig, rope_parameters: { rope_type: 'default', rope_theta: 7 } };
  t.equal(parseLlamaConfig(spelled).shape.ropeTheta, 7);
  t.same(
    parseLlamaConfig({ ...tinyConfig, eos_token_id: [3, 4] }, { eos_token_id: [4, 5] }).stopIds,
    [3, 4, 5],
  );
});
