import { createRandom, type Random } from '@fleetlora/shared/random';
import { createTokenizer, readGgufChat, readGgufStopIds, readGgufTokenizer } from '@fleetlora/shared/text';
import {
  type GgufFile,
  ggufSource,
  ggufTensorTypes,
  readGguf,
  readGgufConfig,
  readGgufRows,
  sourceTensors,
} from '@fleetlora/shared/weights';
import { encodeGguf, type GgufField, type GgufPart, type GgufParts, ggufBytes } from './encode-gguf.js';
import type { FuzzReader } from './fuzz-reader.js';
import { mutateGgufBehindHead, mutateGgufHead } from './mutate-gguf.js';
import { tinyShape } from './tiny-base.js';

const F32 = 0;
const F16 = 1;
const Q4_1 = 3;
const Q8_0 = 8;

/** GGUF files: two whole models with byte-level and SentencePiece tokens, and a tensor of every type. */
export async function fuzzGguf(): Promise<FuzzReader> {
  const random = createRandom(1);
  const seeds = [
    tinyModel('llama', 'gpt2', Q8_0, random),
    tinyModel('qwen2', 'llama', Q4_1, random),
    everyType(random),
  ];
  return {
    seeds: seeds.map((parts) => ({ file: encodeGguf(parts).bytes })),
    mutate(seed, header, chance) {
      const parts = seeds[seed] as GgufParts;
      return {
        file: header === 'kept' ? mutateGgufBehindHead(parts, chance) : mutateGgufHead(parts, chance),
      };
    },
    async read({ file: source }, pastHeader) {
      if (source === undefined) return;
      const file = await readGguf(source);
      pastHeader();
      await readValues(file);
      // Tensors without tokens are no model.
      if (file.metadata.has('tokenizer.ggml.model')) await readModel(file);
    },
  };
}

/** Every tensor, whether or not a model needs it: the first half of its rows and the others. */
async function readValues(file: GgufFile): Promise<void> {
  for (const tensor of file.tensors.values()) {
    const [rows = 0] = tensor.shape;
    const half = Math.floor(rows / 2);
    await readGgufRows(file, tensor, 0, half);
    await readGgufRows(file, tensor, half, rows - half);
  }
}

/** As an import reads it. */
async function readModel(file: GgufFile): Promise<void> {
  const config = await readGgufConfig(file, readGgufStopIds(file.metadata));
  const source = ggufSource(file, config, 'd'.repeat(64));
  for (const [name, [rows = 0]] of sourceTensors(config.shape)) await source.readRows(name, 0, rows);
  createTokenizer(readGgufTokenizer(file.metadata)).encode('a b');
  readGgufChat(file.metadata);
}

function tensor(name: string, shape: readonly number[], type: number, random: Random): GgufPart {
  const data = Uint8Array.from({ length: ggufBytes(shape, type) }, () => random.below(256));
  return { name, shape, type, data };
}

function tinyModel(
  architecture: 'llama' | 'qwen2',
  tokens: 'gpt2' | 'llama',
  type: number,
  random: Random,
): GgufParts {
  const { hidden, heads, kvHeads, headDim, vocab, layers, positions } = tinyShape;
  const ffn = 64;
  const modules = { attn_q: [heads * headDim, hidden], attn_k: [kvHeads * headDim, hidden] } as const;
  const matrices: Readonly<Record<string, readonly number[]>> = {
    ...modules,
    attn_v: modules.attn_k,
    attn_output: [hidden, heads * headDim],
    ffn_gate: [ffn, hidden],
    ffn_up: [ffn, hidden],
    ffn_down: [hidden, ffn],
  };
  const ofLayer = (layer: number): GgufPart[] => [
    tensor(`blk.${layer}.attn_norm.weight`, [hidden], F32, random),
    tensor(`blk.${layer}.ffn_norm.weight`, [hidden], F32, random),
    ...Object.entries(matrices).map(([name, shape]) =>
      tensor(`blk.${layer}.${name}.weight`, shape, type, random),
    ),
    ...(architecture === 'qwen2' ? ['attn_q', 'attn_k', 'attn_v'] : []).map((name) =>
      tensor(`blk.${layer}.${name}.bias`, [(matrices[name] as readonly number[])[0] as number], F32, random),
    ),
  ];
  const key = (name: string): string => `${architecture}.${name}`;
  const u32 = (value: number): GgufField => ({ kind: 'u32', value });
  return {
    fields: [
      ['general.architecture', { kind: 'string', value: architecture }],
      [key('block_count'), u32(layers)],
      [key('context_length'), u32(positions)],
      [key('embedding_length'), u32(hidden)],
      [key('feed_forward_length'), u32(ffn)],
      [key('attention.head_count'), u32(heads)],
      [key('attention.head_count_kv'), u32(kvHeads)],
      [key('attention.layer_norm_rms_epsilon'), { kind: 'f32', value: 1e-5 }],
      [key('rope.freq_base'), { kind: 'f32', value: 10000 }],
      [key('rope.scaling.type'), { kind: 'string', value: 'none' }],
      [key('rope.scaling.factor'), { kind: 'f32', value: 2 }],
      ...tokenFields(tokens, vocab),
    ],
    tensors: [
      tensor('token_embd.weight', [vocab, hidden], F16, random),
      tensor('output_norm.weight', [hidden], F32, random),
      ...Array.from({ length: layers }, (_, layer) => ofLayer(layer)).flat(),
    ],
  };
}

/** Tokens without merges of their own but one, an end token first. */
function tokenFields(kind: 'gpt2' | 'llama', vocab: number): [string, GgufField][] {
  const NORMAL = 1;
  const CONTROL = 3;
  const letters = Array.from({ length: vocab - 4 }, (_, index) => String.fromCodePoint(0x21 + index));
  const texts = ['<|end|>', '▁', 'ab', '<0x0A>', ...letters];
  return [
    ['tokenizer.ggml.model', { kind: 'string', value: kind }],
    ['tokenizer.ggml.pre', { kind: 'string', value: kind === 'gpt2' ? 'gpt-2' : 'default' }],
    ['tokenizer.ggml.tokens', { kind: 'strings', value: texts }],
    [
      'tokenizer.ggml.token_type',
      { kind: 'i32s', value: texts.map((_, id) => (id === 0 ? CONTROL : NORMAL)) },
    ],
    kind === 'gpt2'
      ? ['tokenizer.ggml.merges', { kind: 'strings', value: ['a b'] }]
      : ['tokenizer.ggml.scores', { kind: 'f32s', value: texts.map((_, id) => -id) }],
    ['tokenizer.ggml.eos_token_id', { kind: 'u32', value: 0 }],
    ['tokenizer.ggml.bos_token_id', { kind: 'u32', value: 0 }],
    [
      'tokenizer.chat_template',
      { kind: 'string', value: '{% for m in messages %}{{ m.content }}{% endfor %}' },
    ],
  ];
}

function everyType(random: Random): GgufParts {
  return {
    fields: [
      ['general.architecture', { kind: 'string', value: 'llama' }],
      ['general.alignment', { kind: 'u32', value: 32 }],
      ['some.numbers', { kind: 'i32s', value: [1, 2, 3] }],
      ['a.flag', { kind: 'bool', value: 1 }],
      ['a.size', { kind: 'u64', value: 7 }],
    ],
    tensors: [...ggufTensorTypes.keys()].map((type) => tensor(`type.${type}`, [2, 256], type, random)),
  };
}
