import {
  bufferSource,
  type GgufField,
  type GgufFields,
  ggufSource,
  type ModelConfig,
  readGguf,
  readGgufConfig,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { encodeGguf, type PlainTensor } from '../lib/gguf-models.js';

const zeros = (name: string, ...shape: number[]): PlainTensor => ({
  name,
  shape,
  values: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});
const embedding = zeros('token_embd.weight', 10, 32);

type Change = Readonly<Record<string, GgufField | undefined>>;

/** Metadata of a model of two heads of 16; a key changed to undefined is left out. */
function fieldsOf(family: string, change: Change = {}): GgufFields {
  const own: Change = {
    block_count: { u32: 2 },
    context_length: { u32: 64 },
    embedding_length: { u32: 32 },
    feed_forward_length: { u32: 8 },
    'attention.head_count': { u32: 2 },
    'attention.head_count_kv': { u32: 1 },
    'attention.layer_norm_rms_epsilon': { f32: 1e-5 },
    ...change,
  };
  const fields: Record<string, GgufField> = { 'general.architecture': { text: family } };
  for (const [key, field] of Object.entries(own)) if (field !== undefined) fields[`${family}.${key}`] = field;
  return fields;
}

async function configOf(
  change: Change = {},
  { family = 'llama', tensors = [embedding] }: { family?: string; tensors?: readonly PlainTensor[] } = {},
): Promise<ModelConfig> {
  const bytes = await encodeGguf(fieldsOf(family, change), tensors);
  return readGgufConfig(await readGguf(bufferSource(bytes)), [3, 9]);
}

const plain = {
  architecture: 'llama',
  layers: 2,
  hidden: 32,
  heads: 2,
  kvHeads: 1,
  headDim: 16,
  ffnWidth: 8,
  vocab: 10,
  positions: 64,
  rmsEpsilon: 1e-5,
  ropeTheta: 10000,
  tiedHead: true,
};

t.test('llama, Mistral by its window, qwen2 with biases; heads that are tied or not', async (t) => {
  t.strictSame(await configOf(), { shape: plain, stopIds: [3, 9] });
  const untied = await configOf({}, { tensors: [embedding, zeros('output.weight', 10, 32)] });
  t.strictSame(untied.shape, { ...plain, tiedHead: false });
  const qwen = await configOf({}, { family: 'qwen2' });
  t.strictSame(qwen.shape, { ...plain, architecture: 'qwen2', qkvBias: true });
  const mistral = await configOf({ 'attention.sliding_window': { u32: 7 } });
  t.strictSame(mistral.shape, { ...plain, architecture: 'mistral', slidingWindow: 7 });
  t.strictSame((await configOf({ 'attention.sliding_window': { u32: 0 } })).shape, plain);
});

t.test('what may be left out, and numbers that F32 and lists of layers say otherwise', async (t) => {
  t.equal((await configOf({ 'attention.head_count_kv': undefined })).shape.kvHeads, 2, 'as many as heads');
  t.equal((await configOf({ 'rope.freq_base': { f32: 500000 } })).shape.ropeTheta, 500000);
  t.equal((await configOf({ 'attention.layer_norm_rms_epsilon': { f32: 1e-6 } })).shape.rmsEpsilon, 1e-6);
  // Of 64 channels for two heads only 16 each.
  const narrow = { 'attention.key_length': { u32: 16 }, 'attention.value_length': { u32: 16 } };
  const wide = { embedding_length: { u32: 64 } };
  t.equal((await configOf({ ...wide, ...narrow })).shape.headDim, 16);
  t.equal((await configOf({ ...wide, 'rope.dimension_count': { u32: 16 } })).shape.headDim, 16);
  const listed = { feed_forward_length: { i32s: [8, 8] }, 'attention.head_count_kv': { i32s: [1, 1] } };
  t.strictSame((await configOf(listed)).shape, plain);
  t.strictSame(
    (await configOf({ tensor_data_layout: { text: 'Meta AI original pth' }, expert_count: { u32: 0 } }))
      .shape,
    plain,
  );
});

t.test('every kind of rope scaling, as llama.cpp computes it', async (t) => {
  const scalingOf = async (change: Change) => (await configOf(change)).shape.ropeScaling;
  const type = (text: string) => ({ 'rope.scaling.type': { text } });
  const factor = (f32: number) => ({ 'rope.scaling.factor': { f32 } });
  const original = { 'rope.scaling.original_context_length': { u32: 16 } };
  t.equal(await scalingOf(type('none')), undefined);
  t.equal(await scalingOf({ ...type('none'), ...factor(4) }), undefined, 'none, whatever the factor');
  t.equal(await scalingOf({ ...type('linear'), ...factor(1) }), undefined);
  t.strictSame(await scalingOf({ ...type('linear'), ...factor(2.5) }), { rope_type: 'linear', factor: 2.5 });
  t.strictSame(await scalingOf(factor(3)), { rope_type: 'linear', factor: 3 }, 'linear where it is not said');
  t.strictSame(await scalingOf({ 'rope.scale_linear': { f32: 3 } }), { rope_type: 'linear', factor: 3 });
  const yarn = {
    rope_type: 'yarn',
    factor: 4,
    original_max_position_embeddings: 16,
    // 0.1 · ln 4 + 1
    attention_factor: 1.1386294361119891,
    beta_fast: 32,
    beta_slow: 1,
    truncate: true,
  };
  t.strictSame(await scalingOf({ ...type('yarn'), ...factor(4), ...original }), yarn);
  t.strictSame(
    await scalingOf({
      ...{ ...type('yarn'), ...factor(4), ...original, 'rope.scaling.attn_factor': { f32: 0.5 } },
      ...{ 'rope.scaling.yarn_beta_fast': { f32: 8 }, 'rope.scaling.yarn_beta_slow': { f32: 2 } },
    }),
    { ...yarn, attention_factor: 1.1386294361119891 / 2, beta_fast: 8, beta_slow: 2 },
  );
  t.match(await scalingOf({ ...type('yarn'), ...factor(4) }), { original_max_position_embeddings: 64 });
});

t.test('factors of each frequency: those of Llama 3 are recognised, others are kept', async (t) => {
  const shapeOf = async (values: Float32Array, change: Change = {}) =>
    (
      await configOf(
        { 'rope.freq_base': { f32: 500000 }, ...change },
        { tensors: [embedding, { name: 'rope_freqs.weight', shape: [values.length], values }] },
      )
    ).shape;
  // Waves of 2π · 500000^(i / 8): below 2048 none is stretched, above 8192 all by 8, between mixed.
  const llama3 = Float32Array.from({ length: 8 }, (_, i) => {
    const wave = 2 * Math.PI * 500000 ** (i / 8);
    const smooth = Math.min(Math.max((8192 / wave - 1) / 3, 0), 1);
    return 1 / ((1 - smooth) / 8 + smooth);
  });
  t.strictSame((await shapeOf(llama3)).ropeScaling, {
    rope_type: 'llama3',
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
    factor: 8,
  });
  const own = Float32Array.of(1, 1, 1, 2, 3, 4, 8, 8);
  t.strictSame((await shapeOf(own)).ropeScaling, { rope_type: 'factors', factors: [...own] });
  await t.rejects(shapeOf(own.with(2, 0)), coded('MODEL_CONFIG', 'factors', 8));
  await t.rejects(shapeOf(own.subarray(1)), coded('WEIGHT_SHAPE', 'rope_freqs.weight', '[7]', '[8]'));
  await t.rejects(
    shapeOf(own, { 'rope.scaling.type': { text: 'linear' }, 'rope.scaling.factor': { f32: 2 } }),
    coded('UNSUPPORTED_ARCHITECTURE', 'rope_freqs.weight', 'linear'),
  );
});

t.test('what would be computed wrongly is refused by its key, with what was found and wanted', async (t) => {
  const refused: readonly (readonly [string, GgufField, ...(string | number)[]])[] = [
    ['expert_count', { u32: 8 }, 8, 'no experts'],
    ['tensor_data_layout', { text: 'Meta AI' }, 'Meta AI', 'rows of q and k'],
    ['embedding_scale', { f32: 12 }, 12, 'no such scale'],
    ['residual_scale', { f32: 0.5 }, 0.5],
    ['logit_scale', { f32: 0.25 }, 0.25],
    ['attention.scale', { f32: 0.125 }, 0.125],
    ['attention.value_length', { u32: 32 }, 32, 16],
    ['rope.dimension_count', { u32: 8 }, 8],
    ['attention.causal', { bool: false }, 'false'],
    ['rope.scaling.yarn_log_multiplier', { f32: 0.5 }, 0.5],
  ];
  for (const [key, field, ...words] of refused) {
    const change = { 'attention.key_length': { u32: 16 }, [key]: field };
    await t.rejects(configOf(change), coded('UNSUPPORTED_ARCHITECTURE', `"llama.${key}"`, ...words), key);
  }
  await t.rejects(
    configOf({}, { family: 'phi3' }),
    coded('UNSUPPORTED_ARCHITECTURE', 'phi3', 'llama or qwen2'),
  );
  await t.rejects(configOf({}, { family: 'toString' }), coded('UNSUPPORTED_ARCHITECTURE', 'toString'));
  await t.rejects(
    configOf({ 'attention.sliding_window': { u32: 7 } }, { family: 'qwen2' }),
    coded('UNSUPPORTED_ARCHITECTURE', '"qwen2.attention.sliding_window"', 7),
  );
  await t.rejects(
    configOf({ 'rope.scaling.type': { text: 'longrope' }, 'rope.scaling.factor': { f32: 2 } }),
    coded('UNSUPPORTED_ARCHITECTURE', 'GGUF', 'longrope', 'yarn'),
  );
  await t.resolves(configOf({ embedding_scale: { f32: 0 } }), 'a scale of 0 stands for none');
});

t.test('numbers that are missing, none, or not the same in every layer', async (t) => {
  const needed = [
    'block_count',
    'context_length',
    'embedding_length',
    'feed_forward_length',
    'attention.head_count',
    'attention.layer_norm_rms_epsilon',
  ];
  for (const key of needed) {
    await t.rejects(configOf({ [key]: undefined }), coded('MODEL_CONFIG', `"llama.${key}"`, 'number'), key);
    await t.rejects(
      configOf({ [key]: { text: '2' } }),
      coded('MODEL_CONFIG', `"llama.${key}"`, 'number'),
      key,
    );
  }
  await t.rejects(
    configOf({ feed_forward_length: { i32s: [8, 16] } }),
    coded('MODEL_CONFIG', '"llama.feed_forward_length"', 'list of 2', 'every layer'),
  );
  await t.rejects(configOf({ block_count: { u32: 129 } }), coded('MODEL_CONFIG', 'GGUF', 129, 128));
  await t.rejects(configOf({ 'rope.freq_base': { f32: Number.NaN } }), coded('MODEL_CONFIG', 'rope_theta'));
  await t.rejects(
    configOf({ 'attention.head_count': { u32: 4 } }),
    coded('UNSUPPORTED_ARCHITECTURE', 'head_dim', 8, 16),
  );
  await t.rejects(configOf({}, { tensors: [] }), coded('WEIGHT_MISSING', 'token_embd.weight'));
});

/** All tensors of the plain model, or of its twin in qwen2; their values count from 0. */
function tensorsOf(family: 'llama' | 'qwen2'): PlainTensor[] {
  const tensors = [embedding, zeros('output_norm.weight', 32)];
  for (const layer of [0, 1]) {
    const at = `blk.${layer}`;
    tensors.push(
      zeros(`${at}.attn_norm.weight`, 32),
      zeros(`${at}.ffn_norm.weight`, 32),
      zeros(`${at}.attn_q.weight`, 32, 32),
      zeros(`${at}.attn_k.weight`, 16, 32),
      zeros(`${at}.attn_v.weight`, 16, 32),
      zeros(`${at}.attn_output.weight`, 32, 32),
      zeros(`${at}.ffn_gate.weight`, 8, 32),
      zeros(`${at}.ffn_up.weight`, 8, 32),
      zeros(`${at}.ffn_down.weight`, 32, 8),
    );
    if (family === 'qwen2')
      for (const [part, size] of [
        ['q', 32],
        ['k', 16],
        ['v', 16],
      ] as const)
        tensors.push(zeros(`${at}.attn_${part}.bias`, size));
  }
  return tensors.map((tensor) => ({ ...tensor, values: tensor.values.map((_, i) => i) }));
}

async function sourceOf(family: 'llama' | 'qwen2', tensors = tensorsOf(family)) {
  const file = await readGguf(bufferSource(await encodeGguf(fieldsOf(family), tensors)));
  return ggufSource(file, await readGgufConfig(file, [3]), 'a'.repeat(64));
}

/** The number of each row, whose first value is 32 times it. */
const rowNumbers = (values: Float32Array): number[] =>
  Array.from({ length: values.length / 32 }, (_, row) => (values[row * 32] as number) / 32);

t.test('rows of q and k of a llama go back to two halves of a head; all else stays', async (t) => {
  const even = [0, 2, 4, 6, 8, 10, 12, 14];
  const odd = [1, 3, 5, 7, 9, 11, 13, 15];
  const llama = await sourceOf('llama');
  t.equal(llama.sourceDigest, 'a'.repeat(64));
  const both = [...even, ...odd, ...even.map((row) => row + 16), ...odd.map((row) => row + 16)];
  t.same(rowNumbers(await llama.readRows('layers.1.q', 0, 32)), both);
  t.same(rowNumbers(await llama.readRows('layers.1.q', 16, 16)), both.slice(16), 'of the second head alone');
  t.same(rowNumbers(await llama.readRows('layers.0.k', 0, 16)), [...even, ...odd]);
  for (const name of ['layers.0.v', 'layers.1.o', 'layers.0.gate', 'embed'])
    t.same(rowNumbers(await llama.readRows(name, 2, 6)), [2, 3, 4, 5, 6, 7], name);
  t.same(await llama.readRows('layers.0.inputNorm', 3, 2), Float32Array.of(3, 4));
  const qwen = await sourceOf('qwen2');
  t.same(rowNumbers(await qwen.readRows('layers.0.q', 0, 4)), [0, 1, 2, 3]);
  t.same(await qwen.readRows('layers.1.k.bias', 0, 4), Float32Array.of(0, 1, 2, 3));
  await t.rejects(llama.readRows('layers.2.q', 0, 16), coded('BUG', 'layers.2.q'));
});

t.test('a tensor that is missing, has another shape, or is one too many is named', async (t) => {
  const change = (name: string, instead: readonly PlainTensor[]) =>
    tensorsOf('llama').flatMap((tensor) => (tensor.name === name ? instead : [tensor]));
  await t.rejects(
    sourceOf('llama', change('blk.1.ffn_up.weight', [])),
    coded('WEIGHT_MISSING', 'blk.1.ffn_up'),
  );
  await t.rejects(
    sourceOf('llama', change('blk.0.attn_k.weight', [zeros('blk.0.attn_k.weight', 32, 32)])),
    coded('WEIGHT_SHAPE', 'blk.0.attn_k.weight', '[32, 32]', '[16, 32]'),
  );
  await t.rejects(
    sourceOf('llama', [...tensorsOf('llama'), zeros('blk.0.attn_q.bias', 32)]),
    coded('UNSUPPORTED_ARCHITECTURE', 'blk.0.attn_q.bias', '2-layer llama'),
  );
  await t.rejects(sourceOf('qwen2', tensorsOf('llama')), coded('WEIGHT_MISSING', 'blk.0.attn_q.bias'));
});
