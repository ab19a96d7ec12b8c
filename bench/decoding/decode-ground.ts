import { join } from 'node:path';
import { type ModelShape, type ModuleName, moduleDims, moduleNames } from '@fleetlora/shared/graph';
import { createFileContentStore, openFileSource } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import { type Precision, uniformGenome } from '@fleetlora/shared/space';
import {
  type ExportFile,
  encodeAdapterFile,
  type GgufFields,
  type GgufModelDtype,
  ggufLora,
  ggufModel,
  layBase,
  type ModelSource,
  openExport,
  planExport,
  quantiseBase,
  readTensorFile,
  sourceTensors,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { writeExport } from '../lib/write-export.js';

/** What the programs are given: one model of random weights in every precision, and one adapter. */
export interface DecodeGround {
  /** Weight folder of ours. */
  readonly folder: string;
  readonly shape: ModelShape;
  /** File names by precision; of those that were asked for. */
  readonly bases: Readonly<Partial<Record<Precision, string>>>;
  readonly adapter: string;
  /** Paths. */
  readonly ggufs: Readonly<Partial<Record<Precision, string>>>;
  readonly loraGguf: string;
  /** The fp32 model without an adapter, as transformers.js loads it; null where nothing compares with it. */
  readonly onnxFolder: string | null;
}

/** @source HuggingFaceTB/SmolLM2-135M config.json; fewer positions, which cost nothing unless used */
export const smolShape: ModelShape = {
  architecture: 'llama',
  layers: 30,
  hidden: 576,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  ffnWidth: 1536,
  vocab: 49152,
  positions: 2048,
  rmsEpsilon: 1e-5,
  ropeTheta: 100000,
  tiedHead: true,
};

/** Rank of the adapter that both compute beside the base. */
export const adapterRank = 8;
const ADAPTER_ALPHA = 16;

/** llama.cpp's types of the same bits. */
const ggufDtypes: Readonly<Record<Precision, GgufModelDtype>> = { fp32: 'f32', q8: 'q8_0', q4: 'q4_0' };

/**
 * Makes the files in `folder`. Each program quantises the same weights in its own way.
 * @param onnx also makes the folder for transformers.js
 */
export async function makeDecodeGround(
  folder: string,
  shape: ModelShape,
  wanted: { readonly precisions: readonly Precision[]; readonly onnx: boolean },
): Promise<DecodeGround> {
  const store = await createFileContentStore(folder);
  const writer = await store.begin();
  await layBase(randomModel(shape), { tokenizerDigest: 'b'.repeat(64) }, writer);
  const digest = await writer.finish();
  const opened: { close(): Promise<void> }[] = [];
  const open = async (name: string): Promise<TensorFile> => {
    const source = await openFileSource(store.pathOf(name));
    opened.push(source);
    return readTensorFile(source);
  };
  const base = await open(digest);
  const factors = Array.from({ length: shape.layers }, (_, layer) => randomFactors(shape, layer));
  const adapter = await store.put(
    encodeAdapterFile({
      shape,
      baseDigest: digest,
      ffnOrderDigest: base.metadata.ffnOrderDigest ?? '',
      rankMax: adapterRank,
      alpha: ADAPTER_ALPHA,
      factors,
    }),
  );
  const source = await openExport({
    base,
    adapter: await open(adapter),
    genome: uniformGenome(shape.layers, adapterRank, shape.ffnWidth),
  });
  const files: ExportFile[] = [ggufLora(source, 'lora.gguf')];
  const bases: Partial<Record<Precision, string>> = {};
  const ggufs: Partial<Record<Precision, string>> = {};
  for (const precision of wanted.precisions) {
    bases[precision] = digest;
    if (precision !== 'fp32') {
      const twin = await store.begin();
      await quantiseBase({ file: base, digest }, precision, twin);
      bases[precision] = await twin.finish();
    }
    const dtype = ggufDtypes[precision];
    const path = `${precision}.gguf`;
    files.push(ggufModel(source, 'base', { path, name: 'random', dtype, tokenizer: tokensOf(shape.vocab) }));
    ggufs[precision] = join(folder, path);
  }
  await writeExport(files, folder);
  const onnxFolder = wanted.onnx ? join(folder, 'transformers-js') : null;
  if (onnxFolder !== null) await writeExport(await plainFiles(base, shape), onnxFolder);
  for (const file of opened) await file.close();
  return { folder, shape, bases, adapter, ggufs, loraGguf: join(folder, 'lora.gguf'), onnxFolder };
}

async function plainFiles(base: TensorFile, shape: ModelShape): Promise<ExportFile[]> {
  const plain = await openExport({
    base,
    adapter: null,
    genome: uniformGenome(shape.layers, 0, shape.ffnWidth),
  });
  // Nobody reads the tokenizer: prompts are numbers.
  const json = { model: { vocab: {} } };
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  const tokenizer = { bytes, json, chat: null, stopIds: [shape.vocab - 1] };
  return planExport(plain, { kind: 'onnx', dtype: 'f32', name: 'random', tokenizer });
}

/** A tokenizer that is never asked: tokens go in and come out as numbers. */
function tokensOf(vocab: number): GgufFields {
  return {
    'tokenizer.ggml.model': { text: 'gpt2' },
    'tokenizer.ggml.pre': { text: 'default' },
    'tokenizer.ggml.tokens': { texts: Array.from({ length: vocab }, (_, id) => `t${id}`) },
    'tokenizer.ggml.token_type': { i32s: Array.from({ length: vocab }, () => 1) },
    'tokenizer.ggml.merges': { texts: ['t 0'] },
    'tokenizer.ggml.bos_token_id': { u32: 0 },
    'tokenizer.ggml.eos_token_id': { u32: vocab - 1 },
  };
}

/** Numbers drawn; a row of weights is as many of them from a place of its own. */
const POOL = 1 << 20;

/** Weights as they are drawn to begin a training: uniform, of the deviation that keeps a sum's size. */
function randomModel(shape: ModelShape): ModelSource {
  const names = [...sourceTensors(shape).keys()];
  const random = createRandom(1);
  const pool = Float32Array.from({ length: POOL }, () => 2 * random.next() - 1);
  return {
    config: { shape, stopIds: [shape.vocab - 1] },
    sourceDigest: 'a'.repeat(64),
    async readRows(name, first, rows) {
      const [, columns] = sourceTensors(shape).get(name) ?? [];
      if (columns === undefined) return new Float32Array(rows).fill(1);
      const half = name === 'embed' ? 1 : Math.sqrt(3 / columns);
      const values = new Float32Array(rows * columns);
      for (let row = 0; row < rows; row++) {
        // Places a prime apart: no two rows of a matrix are alike.
        const from = (names.indexOf(name) * 7_919 + (first + row) * 611_953) % (POOL - columns);
        for (let i = 0; i < columns; i++) values[row * columns + i] = (pool[from + i] as number) * half;
      }
      return values;
    },
  };
}

type Factors = Record<ModuleName, { readonly a: Float32Array; readonly b: Float32Array }>;

function randomFactors(shape: ModelShape, layer: number): Factors {
  const random = createRandom(layer + 1);
  const draw = (count: number, half: number): Float32Array =>
    Float32Array.from({ length: count }, () => (2 * random.next() - 1) * half);
  return Object.fromEntries(
    moduleNames.map((module) => {
      const [input, output] = moduleDims(shape, module);
      return [module, { a: draw(adapterRank * input, 0.05), b: draw(adapterRank * output, 0.05) }];
    }),
  ) as Factors;
}
