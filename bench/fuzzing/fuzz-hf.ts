import type { Random } from '@fleetlora/shared/random';
import {
  dtypeBytes,
  joinShards,
  openHfModel,
  parseModelConfig,
  parseShardIndex,
  readTensorFile,
  sourceTensors,
  type TensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';
import { tinyConfig, tinyModelFile } from '../lib/tiny-llama.js';
import type { FuzzFiles, FuzzReader } from './fuzz-reader.js';
import { encodeJson, mutateFiles, readJson } from './json-files.js';
import { putTogether, type TensorPart, takeApart } from './mutate-tensors.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Hugging Face folders: a Llama in one file, a scaled one in two shards, a Qwen2 with its biases. */
export async function fuzzHf(): Promise<FuzzReader> {
  const seeds = makeSeeds();
  return {
    seeds,
    mutate: (seed, header, random: Random) => mutateFiles(seeds[seed] as FuzzFiles, header, random),
    async read(sources, pastHeader) {
      const files = new Map<string, TensorFile>();
      for (const [name, source] of Object.entries(sources))
        if (name.endsWith('.safetensors')) files.set(name, await readTensorFile(source));
      pastHeader();
      const { [CONFIG]: configFile, [INDEX]: indexFile } = sources;
      if (configFile === undefined) return;
      const config = parseModelConfig(await readJson(configFile, CONFIG, 'MODEL_CONFIG'));
      const whole = files.get(WEIGHTS);
      const tensors = whole
        ? tensorsOf(whole)
        : joinShards(parseShardIndex(indexFile && (await readJson(indexFile, INDEX, 'MODEL_CONFIG'))), files);
      const model = openHfModel(config, tensors, 'd'.repeat(64));
      for (const [name, [rows = 0]] of sourceTensors(config.shape)) await model.readRows(name, 0, rows);
    },
  };
}

function makeSeeds(): FuzzFiles[] {
  const config = encodeJson(tinyConfig);
  const scaled = encodeJson({
    ...tinyConfig,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    },
    max_position_embeddings: 256,
  });
  const qwen = encodeJson({
    ...tinyConfig,
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 },
  });
  const { metadata, tensors } = takeApart(tinyModelFile('F16'));
  const parts = [tensors.slice(0, 8), tensors.slice(8)];
  const names = parts.map((_, index) => `model-0000${index + 1}-of-00002.safetensors`);
  const weightMap = parts.flatMap((part, index) => part.map(({ name }) => [name, names[index]]));
  const bytes = tensors.reduce((sum, { data }) => sum + data.length, 0);
  return [
    { [CONFIG]: config, [WEIGHTS]: tinyModelFile('BF16') },
    {
      [CONFIG]: scaled,
      [INDEX]: encodeJson({ metadata: { total_size: bytes }, weight_map: Object.fromEntries(weightMap) }),
      ...Object.fromEntries(
        parts.map((part, index) => [names[index], putTogether({ metadata, tensors: part })]),
      ),
    },
    { [CONFIG]: qwen, [WEIGHTS]: putTogether({ metadata, tensors: [...tensors, ...biases(tensors)] }) },
  ];
}

/** A bias for each output of q, k and v. */
function biases(tensors: readonly TensorPart[]): TensorPart[] {
  return tensors
    .filter(({ name }) => /[qkv]_proj/.test(name))
    .map(({ name, dtype, shape: [outputs = 0] }) => ({
      name: name.replace('.weight', '.bias'),
      dtype,
      shape: [outputs],
      data: new Uint8Array(outputs * dtypeBytes[dtype]),
    }));
}
