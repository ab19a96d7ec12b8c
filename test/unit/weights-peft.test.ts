import { readModelShape } from '@fleetlora/shared/graph';
import {
  bufferSource,
  createBufferSink,
  encodeTensorFile,
  layBase,
  openHfModel,
  parseModelConfig,
  parsePeftConfig,
  readAdapterFacts,
  readFloats,
  readModelOrders,
  readPeftAdapter,
  readTensorFile,
  type TensorFile,
  type TensorToWrite,
  tensorsOf,
  writePeftAdapter,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import {
  tinyConfig,
  tinyModelFile,
  tinyPeftConfig,
  tinyPeftFile,
  tinyPeftTensors,
} from '../lib/tiny-llama.js';

const open = (bytes: Uint8Array) => readTensorFile(bufferSource(bytes));
const encode = (tensors: readonly TensorToWrite[]) => encodeTensorFile(tensors, {}, { alignment: 'none' });
const baseOf = async (config: object, seed = 1): Promise<{ file: TensorFile; digest: string }> => {
  const model = tensorsOf(await open(tinyModelFile('F32', seed)));
  const sink = createBufferSink();
  await layBase(openHfModel(parseModelConfig(config), model, ''), { tokenizerDigest: '' }, sink);
  return { file: await open(sink.bytes()), digest: 'd'.repeat(64) };
};
const base = await baseOf(tinyConfig);
const orders = await readModelOrders(base.file, readModelShape(base.file));
const order = orders.ffnOrder;
const orderJson = (values: Int32Array) => ({
  ffn_channel_order: { 0: [...values.subarray(0, 8)], 1: [...values.subarray(8)] },
});
const importTiny = async (
  tensors: readonly TensorToWrite[],
  config: object = tinyPeftConfig(),
  channels?: object,
) => open(await readPeftAdapter(config, await open(encode(tensors)), base, channels));

t.test('import: A as it is, B transposed, FFN sides in sorted order, one scale', async (t) => {
  const source = await open(tinyPeftFile());
  const adapter = await open(await readPeftAdapter(tinyPeftConfig(), source, base, orderJson(order)));
  t.match(adapter.metadata, {
    format: 'fleetlora-adapter',
    baseDigest: base.digest,
    ffnOrderDigest: base.file.metadata.ffnOrderDigest,
  });
  t.same(readAdapterFacts(adapter), {
    rankMax: 4,
    alpha: 8,
    modules: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'],
  });
  const path = 'base_model.model.model.layers.1';
  t.same(
    await readFloats(adapter, 'layers.1.k.A', [4, 32]),
    await readFloats(source, `${path}.self_attn.k_proj.lora_A.weight`, [4, 32]),
  );
  const kB = await readFloats(source, `${path}.self_attn.k_proj.lora_B.weight`, [16, 4]);
  const laidKB = await readFloats(adapter, 'layers.1.k.B', [4, 16]);
  const upB = await readFloats(source, `${path}.mlp.up_proj.lora_B.weight`, [8, 4]);
  const laidUpB = await readFloats(adapter, 'layers.1.up.B', [4, 8]);
  const downA = await readFloats(source, `${path}.mlp.down_proj.lora_A.weight`, [4, 8]);
  const laidDownA = await readFloats(adapter, 'layers.1.down.A', [4, 8]);
  for (let rank = 0; rank < 4; rank++) {
    for (let i = 0; i < 16; i++) t.equal(laidKB[rank * 16 + i], kB[i * 4 + rank]);
    for (let sorted = 0; sorted < 8; sorted++) {
      const channel = order[8 + sorted] as number;
      t.equal(laidUpB[rank * 8 + sorted], upB[channel * 4 + rank]);
      t.equal(laidDownA[rank * 8 + sorted], downA[rank * 8 + channel]);
    }
  }
});

t.test('export and import again give the same adapter, byte for byte, when values are halves', async (t) => {
  const first = await readPeftAdapter(tinyPeftConfig(), await open(tinyPeftFile()), base);
  const files = await writePeftAdapter(await open(first), orders);
  const config = JSON.parse(new TextDecoder().decode(files['adapter_config.json']));
  t.match(config, { peft_type: 'LORA', r: 4, lora_alpha: 8, rank_pattern: {}, alpha_pattern: {} });
  t.same(config.target_modules, [
    'q_proj',
    'k_proj',
    'v_proj',
    'o_proj',
    'gate_proj',
    'up_proj',
    'down_proj',
  ]);
  const exported = await open(files['adapter_model.safetensors']);
  const original = await open(tinyPeftFile());
  t.same([...exported.tensors.keys()].sort(), [...original.tensors.keys()].sort());
  for (const name of original.tensors.keys())
    t.same(await readFloats(exported, name), await readFloats(original, name), name);
  t.same(Buffer.compare(first, await readPeftAdapter(config, exported, base)), 0);
});

t.test('mixed ranks and alphas: rows above r are zero, the other scale is folded into B', async (t) => {
  const mixed = tinyPeftTensors().map((tensor): TensorToWrite => {
    if (!tensor.name.includes('layers.0.mlp.gate_proj')) return tensor;
    const shape = tensor.name.includes('lora_A') ? [2, 32] : [8, 2];
    return {
      ...tensor,
      shape,
      data: new Float32Array((shape[0] as number) * (shape[1] as number)).fill(0.5),
    };
  });
  const config = {
    ...tinyPeftConfig(),
    rank_pattern: { 'layers.0.mlp.gate_proj': 2 },
    alpha_pattern: { 'layers.0.mlp.gate_proj': 12 },
  };
  const adapter = await importTiny(mixed, config);
  // gate: 12 / 2 = 6 against the file's 8 / 4 = 2: B is tripled, 0.5 becomes 1.5.
  t.same(
    [...(await readFloats(adapter, 'layers.0.gate.A', [4, 32]))],
    [...Array(64).fill(0.5), ...Array(64).fill(0)],
  );
  t.same(
    [...(await readFloats(adapter, 'layers.0.gate.B', [4, 8]))],
    [...Array(16).fill(1.5), ...Array(16).fill(0)],
  );
  t.equal(readAdapterFacts(adapter).alpha, 8);
});

t.test('scales: patterns by the end of a path, first match first; rank-stabilised', async (t) => {
  const peft = parsePeftConfig({
    ...tinyPeftConfig(),
    rank_pattern: { 'layers.0.mlp.up_proj': 2, up_proj: 1 },
    alpha_pattern: { up_proj: 5 },
  });
  t.equal(peft.scale, 2);
  t.equal(peft.scaleOf('model.layers.0.mlp.up_proj'), 2.5);
  t.equal(peft.scaleOf('model.layers.1.mlp.up_proj'), 5);
  t.equal(peft.scaleOf('model.layers.1.mlp.sup_proj'), 2, 'only whole path parts match');
  t.equal(parsePeftConfig({ ...tinyPeftConfig(), use_rslora: true }).scale, 4, '8 / sqrt(4)');
});

t.test('an adapter on some modules leaves the others out; on some layers, fills with zeros', async (t) => {
  const some = tinyPeftTensors().filter(({ name }) => /q_proj|v_proj/.test(name));
  t.same(readAdapterFacts(await importTiny(some)).modules, ['q', 'v']);
  const upper = some.filter(({ name }) => name.includes('layers.1.'));
  const adapter = await importTiny(upper, { ...tinyPeftConfig(), layers_to_transform: [1] });
  t.same([...(await readFloats(adapter, 'layers.0.q.B', [4, 32]))], Array(128).fill(0));
  t.not((await readFloats(adapter, 'layers.1.q.B'))[0], 0);
  await t.rejects(importTiny(upper), coded('ADAPTER_OTHER_BASE', 'q_proj', 'layer 0', '2 layers'));
});

t.test('adapters of another base', async (t) => {
  const reordered = order.slice();
  [reordered[9], reordered[10]] = [reordered[10] as number, reordered[9] as number];
  await t.rejects(
    importTiny(tinyPeftTensors(), tinyPeftConfig(), orderJson(reordered)),
    coded('ADAPTER_OTHER_BASE', 'layer 1', 'position 1', order[10] as number, order[9] as number),
  );
  await t.rejects(
    importTiny(tinyPeftTensors(), tinyPeftConfig(), { ffn_channel_order: { 0: [...order.subarray(0, 8)] } }),
    coded('ADAPTER_OTHER_BASE', 1, 2),
  );
  await t.rejects(
    importTiny(tinyPeftTensors(), tinyPeftConfig(), orderJson(new Int32Array(16))),
    coded('ADAPTER_OTHER_BASE', 'layer 0'),
  );
  const deeper = tinyPeftTensors().map((tensor) => ({
    ...tensor,
    name: tensor.name.replace('layers.1.', 'layers.2.'),
  }));
  await t.rejects(importTiny(deeper), coded('ADAPTER_OTHER_BASE', 'layer 2', '0 to 1'));
  const wider = tinyPeftTensors().map((tensor) =>
    tensor.name.endsWith('layers.0.mlp.up_proj.lora_B.weight')
      ? { ...tensor, shape: [16, 4], data: new Float32Array(64) }
      : tensor,
  );
  await t.rejects(importTiny(wider), coded('ADAPTER_OTHER_BASE', 'up_proj', '[16, 4]', '[8, 4]'));

  const files = await writePeftAdapter(await importTiny(tinyPeftTensors()), orders);
  const exported = await open(files['adapter_model.safetensors']);
  const other = await baseOf(tinyConfig, 2);
  await t.rejects(
    readPeftAdapter(tinyPeftConfig(), exported, other),
    coded('ADAPTER_OTHER_BASE', 'FFN order'),
  );
  await t.resolves(readPeftAdapter(tinyPeftConfig(), exported, base));
});

t.test('adapters that contradict themselves', async (t) => {
  await t.rejects(importTiny([]), coded('ADAPTER_CONFIG', 'no tensors'));
  await t.rejects(
    importTiny(tinyPeftTensors(), tinyPeftConfig(8)),
    coded('ADAPTER_CONFIG', '[4, 32]', '[8, 32]'),
  );
  await t.rejects(importTiny(tinyPeftTensors().slice(1)), coded('WEIGHT_MISSING', 'lora_B'));
  const strange: TensorToWrite = {
    name: 'base_model.model.lm_head.lora_A.weight',
    dtype: 'F32',
    shape: [1],
    data: new Float32Array(1),
  };
  await t.rejects(importTiny([...tinyPeftTensors(), strange]), coded('ADAPTER_CONFIG', 'lm_head'));
  const infinite = tinyPeftTensors();
  infinite[0] = {
    ...(infinite[0] as TensorToWrite),
    data: new Float32Array(128).fill(Number.POSITIVE_INFINITY),
  };
  await t.rejects(importTiny(infinite), coded('WEIGHT_NOT_FINITE', 'lora_A'));
});

t.test('a rank that no bytes stand behind takes no memory; scales that overflow are refused', async (t) => {
  const empty = tinyPeftTensors().map((tensor): TensorToWrite => {
    if (!tensor.name.endsWith('layers.0.self_attn.q_proj.lora_A.weight')) return tensor;
    return { ...tensor, shape: [2 ** 40, 0], data: new Float32Array(0) };
  });
  await t.rejects(importTiny(empty), coded('ADAPTER_OTHER_BASE', 'q_proj', 2 ** 40, '[4, 32]'));
  const loud = { ...tinyPeftConfig(), alpha_pattern: { q_proj: 1e300 } };
  await t.rejects(importTiny(tinyPeftTensors(), loud), coded('WEIGHT_NOT_FINITE', 'q_proj', '1.25e+299'));
  const faint = { ...tinyPeftConfig(), lora_alpha: 1e308, r: 1, rank_pattern: { q_proj: 4 } };
  const onlyQ = tinyPeftTensors().filter(({ name }) => name.includes('q_proj'));
  await t.rejects(importTiny(onlyQ, faint), coded('ADAPTER_CONFIG', 'Infinity', 'rank 4'));
});

t.test('adapter_config.json: settings we do not compute are refused, naming found and wanted', async (t) => {
  const bad: readonly [Record<string, unknown>, string, string][] = [
    [{ peft_type: 'IA3' }, 'IA3', 'LORA'],
    [{ bias: 'all' }, 'all', 'none'],
    [{ use_dora: true }, 'use_dora', 'false'],
    [{ fan_in_fan_out: true }, 'fan_in_fan_out', 'false'],
    [{ modules_to_save: ['lm_head'] }, 'lm_head', 'null'],
    [{ r: 0 }, 'r = 0', '1 to 4096'],
    [{ r: 4097 }, '4097', '4096'],
    [{ lora_alpha: -1 }, '-1', 'positive'],
    [{ rank_pattern: { '(a+)+$': 2 } }, '(a+)+$', 'without regular expressions'],
    [{ alpha_pattern: { up_proj: 'x' } }, 'x', 'positive'],
    [{ layers_to_transform: ['0'] }, '0', 'layer numbers'],
  ];
  for (const [change, found, wanted] of bad)
    t.throws(
      () => parsePeftConfig({ ...tinyPeftConfig(), ...change }),
      coded('ADAPTER_CONFIG', found, wanted),
      JSON.stringify(change),
    );
  t.throws(() => parsePeftConfig('x'), { code: 'ADAPTER_CONFIG' });
  t.equal(parsePeftConfig({ ...tinyPeftConfig(), r: 4096 }).rank, 4096);
});

t.test(
  'mixed ranks, alphas and a layer left out come back as the same bytes, in F16 and in BF16',
  async (t) => {
    for (const dtype of ['F16', 'BF16'] as const) {
      const mixed = tinyPeftTensors()
        .filter(({ name }) => !name.includes('layers.1.self_attn.q_proj'))
        .map((tensor): TensorToWrite => {
          if (!tensor.name.includes('layers.0.mlp.gate_proj')) return { ...tensor, dtype };
          const shape = tensor.name.includes('lora_A') ? [2, 32] : [8, 2];
          const values = Array.from({ length: 64 }, (_, i) => (i % 13) / 8 - 0.5);
          return {
            ...tensor,
            dtype,
            shape,
            data: Float32Array.from(values.slice(0, shape[0] === 2 ? 64 : 16)),
          };
        });
      const q = 'layers.0.self_attn.q_proj';
      const config = {
        ...tinyPeftConfig(),
        target_modules: [q, 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
        rank_pattern: { 'layers.0.mlp.gate_proj': 2 },
        // 3 against 2 for the others: the quotient that is folded into B is no power of two.
        alpha_pattern: { 'layers.0.mlp.gate_proj': 6 },
      };
      const source = await open(encode(mixed));
      const ours = await readPeftAdapter(config, source, base);
      const files = await writePeftAdapter(await open(ours), orders);
      const exported = await open(files['adapter_model.safetensors']);
      t.same([...exported.tensors.keys()].sort(), [...source.tensors.keys()].sort());
      for (const [name, entry] of source.tensors) {
        const found = exported.tensors.get(name);
        t.equal(found?.dtype, dtype);
        t.same(
          await exported.source.read(found?.offset ?? 0, found?.bytes ?? 0),
          await source.source.read(entry.offset, entry.bytes),
          `${dtype} ${name}`,
        );
      }
      const written = JSON.parse(new TextDecoder().decode(files['adapter_config.json']));
      const [was, is] = [parsePeftConfig(config), parsePeftConfig(written)];
      for (const name of source.tensors.keys()) {
        const path = name.replace('base_model.model.', '').replace(/\.lora_.*/, '');
        t.equal(is.rankOf(path), was.rankOf(path));
        t.equal(is.scaleOf(path), was.scaleOf(path));
      }
      t.notOk(is.adapts(1, 'model.layers.1.self_attn.q_proj'));
      t.equal(Buffer.compare(ours, await readPeftAdapter(written, exported, base)), 0);
    }
  },
);
