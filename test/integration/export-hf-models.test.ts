import { join } from 'node:path';
import { uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  ggufSource,
  parseModelConfig,
  readFloats,
  readGguf,
  readGgufConfig,
  readInts,
  readTensorFile,
  ropeFrequencies,
  sourceTensors,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import {
  type ExportedFolder,
  exportModel,
  openTensors,
  readAll,
  readExportedJson,
} from '../lib/export-folders.js';
import { hfModels, layHfModel, openHfTensors, openTensorFile, readJsonFile } from '../lib/hf-models.js';
import { largestDifference } from '../lib/run-logits.js';
import { type CacheSizes, openOnnxFolder } from '../lib/run-onnx-folder.js';

/** The limit of every comparison with PyTorch here; logits spread over ±10. */
const TOLERANCE = 2e-3;
const models = ['llama-linear', 'llama-llama3-shards', 'llama-yarn', 'mistral-window', 'qwen2', 'qwen2-yarn'];
/** What GGUF cannot say of a model: four heads of 16 beside a hidden size of 48, and a scaling. */
const unsayable: Readonly<Record<string, readonly (string | number)[]>> = {
  qwen2: [4, 16, 48],
  'qwen2-yarn': ['yarn', 'truncation'],
};

const exportBase = async (name: string, kind: 'hf' | 'onnx' | 'gguf'): Promise<ExportedFolder> =>
  exportModel(
    {
      base: await readTensorFile(bufferSource(await layHfModel(name))),
      adapter: null,
      genome: uniformGenome(2, 0, 40),
    },
    kind,
  );

for (const name of models) {
  t.test(`${name}: a model that went through a base comes back as the folder that it was`, async (t) => {
    const folder = await exportBase(name, 'hf');
    const written = readExportedJson(folder, 'config.json') as Record<string, unknown>;
    const saved = (await readJsonFile(join(hfModels, name, 'config.json'))) as Record<string, unknown>;
    t.same(parseModelConfig(written), parseModelConfig(saved));
    // What both say, they say alike; a scaling may name what the other takes from elsewhere.
    const { rope_parameters: rope, dtype, ...fields } = written;
    t.equal(dtype, 'float32');
    t.match(rope, saved.rope_parameters as object);
    for (const [key, value] of Object.entries(fields))
      if (Object.hasOwn(saved, key)) t.same(value, saved[key], key);
    const all = await readAll(await openTensors(folder, 'model.safetensors'));
    const original = await openHfTensors(join(hfModels, name));
    t.same([...all.keys()].sort(), [...original.keys()].sort());
    for (const [tensor, { file }] of original)
      t.same(all.get(tensor), await readFloats(file, tensor), tensor);
  });

  t.test(`${name}: onnx, 40 tokens at once and 7 at a time, logits within 2e-3 of PyTorch's`, async (t) => {
    const folder = await exportBase(name, 'onnx');
    const config = readExportedJson(folder, 'config.json') as CacheSizes;
    const decoder = await openOnnxFolder(folder, t.testdir(), config);
    t.teardown(() => decoder.release());
    const expected = await openTensorFile(join(hfModels, name, 'expected.safetensors'));
    const ids = [...(await readInts(expected, 'ids'))];
    const wanted = await readFloats(expected, 'logits', [40, 61]);
    const row = { ids, mask: ids.map(() => 1 as const) };
    for (const step of [40, 7]) {
      const [logits = []] = await decoder.read([row], step);
      const worst = largestDifference(logits, wanted);
      t.ok(worst <= TOLERANCE, `${step} at a time: ${worst}`);
    }
  });

  t.test(
    `${name}: gguf ${name.startsWith('qwen2') ? 'has no word for it' : 'says the same model'}`,
    async (t) => {
      const words = unsayable[name];
      if (words) {
        await t.rejects(exportBase(name, 'gguf'), coded('UNSUPPORTED_ARCHITECTURE', 'qwen2', ...words));
        return;
      }
      const folder = await exportBase(name, 'gguf');
      const file = await readGguf(bufferSource(folder.get('model.gguf') as Uint8Array));
      const config = await readGgufConfig(file, [0]);
      const { shape } = parseModelConfig(await readJsonFile(join(hfModels, name, 'config.json')));
      const { slidingWindow, ropeScaling, ...same } = shape;
      // llama.cpp's name of a Mistral, which knows no window: texts end where it would slide.
      t.match(config.shape, {
        ...same,
        ...(same.architecture === 'mistral' && { architecture: 'llama', positions: slidingWindow }),
      });
      const frequencies = (of: typeof shape): Float32Array =>
        ropeFrequencies(16, 500, of.ropeScaling as Parameters<typeof ropeFrequencies>[2]).frequencies;
      const [found, wanted] = [frequencies(config.shape), frequencies(shape)];
      t.ok(
        found.every((frequency, i) => Math.abs(frequency / (wanted[i] as number) - 1) < 1e-6),
        'the same rotary frequencies',
      );
      const keys = [...file.metadata.keys()].filter((key) => key.includes('rope.scaling'));
      t.same(
        keys.map((key) => key.replace(/^.*rope\.scaling\./, '')),
        name === 'llama-linear'
          ? ['type', 'factor']
          : name === 'llama-yarn'
            ? ['type', 'factor', 'attn_factor', 'original_context_length', 'yarn_beta_fast', 'yarn_beta_slow']
            : [],
      );
      t.equal(file.tensors.has('rope_freqs.weight'), name === 'llama-llama3-shards');
      t.equal(file.metadata.get('general.architecture'), 'llama');
      // Our reader takes the rows of q and k back into the order that they have in the folder.
      const source = ggufSource(file, config, 'a'.repeat(64));
      const original = await openHfTensors(join(hfModels, name));
      let compared = 0;
      for (const [tensor, dims] of sourceTensors(config.shape)) {
        const found = original.get(hfNameOf(tensor));
        if (!found) throw new Error(`no ${hfNameOf(tensor)}`);
        t.same(
          [...(await source.readRows(tensor, 0, dims[0] ?? 0))],
          [...(await readFloats(found.file, hfNameOf(tensor)))],
          tensor,
        );
        compared++;
      }
      t.equal(compared, original.size, 'no tensor is left');
    },
  );
}

const hfParts: Readonly<Record<string, string>> = {
  inputNorm: 'input_layernorm',
  postNorm: 'post_attention_layernorm',
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
};

function hfNameOf(name: string): string {
  if (name === 'embed') return 'model.embed_tokens.weight';
  if (name === 'head') return 'lm_head.weight';
  if (name === 'norm') return 'model.norm.weight';
  const [, layer, part = '', kind = 'weight'] = /^layers\.(\d+)\.(\w+)(?:\.(bias))?$/.exec(name) ?? [];
  return `model.layers.${layer}.${hfParts[part]}.${kind}`;
}
