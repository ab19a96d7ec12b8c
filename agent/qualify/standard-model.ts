import { type ModelShape, moduleDims, moduleNames } from '@fleetlora/shared/graph';
import { createRandom, type Random } from '@fleetlora/shared/random';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  createBufferSink,
  encodeAdapterFile,
  encodeTensorFile,
  layBase,
  modulePaths,
  openHfModel,
  readTensorFile,
  type TensorToWrite,
  tensorsOf,
} from '@fleetlora/shared/weights';

/**
 * Name and version of the standard candidate. Whatever changes a byte of its files, its genome or
 * the plan it is measured with takes the next number: figures of two numbers do not compare.
 */
export const standardName = 'standard-1';

/**
 * 6.4 million weights, as many as the demo's base has without its vocabulary: 26 MB, more than the
 * caches of a board hold and less than its memory, and 512 positions for a cache of 256 tokens.
 */
export const standardShape: ModelShape = {
  architecture: 'llama',
  layers: 8,
  hidden: 256,
  heads: 8,
  kvHeads: 4,
  headDim: 32,
  ffnWidth: 768,
  vocab: 512,
  positions: 512,
  rmsEpsilon: 1e-5,
  ropeTheta: 10_000,
  tiedHead: true,
};

const RANK = 16;
/** For people who look at its figures. */
export const standardDescription = `${standardName}, 6.4 million weights in F32, rank ${RANK} beside them`;
const SEED = 20;

/** The candidate that is measured: every module with an adapter of the full rank beside it. */
export const standardGenome: string = encodeGenome(
  uniformGenome(standardShape.layers, RANK, standardShape.ffnWidth),
);

/** SHA-256 of both files: the same on every device, or it did not make the standard model. */
export const standardDigests = {
  base: 'fed71580a34fb58a710a57fcf50a0212b69694463295daaa53f754ff7114cb22',
  adapter: '7c2b940693291085cccce69fa6584691d58c7bc2b99f3e1a886d4d7c991c1636',
} as const;

/**
 * The standard model's files in our layout, made from seeded numbers and the four basic operations
 * alone, which IEEE 754 rounds alike everywhere; only the rope tables come from libm, whose last
 * bit is lost when they are rounded to F32.
 * @returns base file (26 MB) and super-adapter file (2.5 MB)
 */
export async function layStandardModel(): Promise<{ base: Uint8Array; adapter: Uint8Array }> {
  const random = createRandom(SEED);
  const tensors = huggingFaceTensors(random);
  const file = await readTensorFile(bufferSource(encodeTensorFile(tensors, {}, { alignment: 'none' })));
  // Neither a model file nor a tokenizer stands behind it.
  const noDigest = '0'.repeat(64);
  const model = openHfModel({ shape: standardShape, stopIds: [0] }, tensorsOf(file), noDigest);
  const sink = createBufferSink();
  await layBase(model, { tokenizerDigest: noDigest }, sink);
  const base = sink.bytes();
  const { metadata } = await readTensorFile(bufferSource(base));
  const adapter = encodeAdapterFile({
    shape: standardShape,
    baseDigest: standardDigests.base,
    ffnOrderDigest: metadata.ffnOrderDigest ?? '',
    rankMax: RANK,
    alpha: 2 * RANK,
    factors: Array.from({ length: standardShape.layers }, () =>
      Object.fromEntries(
        moduleNames.map((module) => {
          const [input, output] = moduleDims(standardShape, module);
          return [
            module,
            { a: uniform(random, RANK * input, 1 / 16), b: uniform(random, RANK * output, 1 / 64) },
          ];
        }),
      ),
    ),
  });
  return { base, adapter };
}

/** In the order that they are drawn in, which is part of the standard. */
function huggingFaceTensors(random: Random): TensorToWrite[] {
  const { hidden, vocab, layers } = standardShape;
  const matrix = (name: string, rows: number, columns: number, bound: number): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [rows, columns],
    data: uniform(random, rows * columns, bound),
  });
  const gain = (name: string): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [hidden],
    data: new Float32Array(hidden).fill(1),
  });
  return [
    matrix('model.embed_tokens.weight', vocab, hidden, 1),
    gain('model.norm.weight'),
    ...Array.from({ length: layers }, (_, layer) => [
      gain(`model.layers.${layer}.input_layernorm.weight`),
      gain(`model.layers.${layer}.post_attention_layernorm.weight`),
      ...moduleNames.map((module) => {
        const [input, output] = moduleDims(standardShape, module);
        return matrix(`model.layers.${layer}.${modulePaths[module]}.weight`, output, input, 1 / 8);
      }),
    ]).flat(),
  ];
}

/**
 * Uniform in [-bound, bound): a normal deviate would need a logarithm and a cosine.
 * @param bound a power of two, so that scaling rounds nothing
 */
function uniform(random: Random, count: number, bound: number): Float32Array {
  return Float32Array.from({ length: count }, () => (2 * random.next() - 1) * bound);
}
