import { deviates, huggingFaceTensors } from '@fleetlora/bench/lib/random-hf-model';
import {
  type ModelShape,
  type ModuleName,
  moduleDims,
  moduleNames,
  type WeightFile,
} from '@fleetlora/shared/graph';
import { createFileContentStore } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import type { TokenRow } from '@fleetlora/shared/text';
import {
  bufferSource,
  createBufferSink,
  encodeAdapterFile,
  encodeTensorFile,
  layBase,
  openHfModel,
  readTensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';

/**
 * 9,328 weights: small enough for any test, with two layers, grouped heads and an elastic FFN. The
 * head dimension is the smallest that ONNX Runtime's attention takes, and the attention is wider
 * than the hidden state, so that a matrix used the wrong way round does not fit.
 */
export const tinyShape: ModelShape = {
  architecture: 'llama',
  layers: 2,
  hidden: 16,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  ffnWidth: 24,
  vocab: 50,
  positions: 32,
  rmsEpsilon: 1e-5,
  ropeTheta: 10000,
  tiedHead: true,
};
export const tinyRankMax = 4;
/** Every rank is scaled by alpha / rankMax = 2. */
export const tinyAlpha = 8;

export interface TinyModel {
  /** Weight folder and content store: both files are named by their digest. */
  readonly folder: string;
  readonly shape: ModelShape;
  readonly base: WeightFile;
  readonly adapter: WeightFile;
}

export interface TinyModelOptions {
  readonly seed?: number;
  readonly shape?: Partial<ModelShape>;
  /** Modules the super-adapter holds; all by default. */
  readonly modules?: readonly ModuleName[];
  /** 0 leaves the factors B at zero, so that the adapter changes nothing. */
  readonly loraScale?: number;
}

/**
 * A random Llama laid out as a base file, and a random super-adapter for it, in `folder`. Equal
 * options give equal files. Weights are large enough that every one of them shows in the logits.
 */
export async function createTinyModel(folder: string, options: TinyModelOptions = {}): Promise<TinyModel> {
  const shape = { ...tinyShape, ...options.shape };
  const random = createRandom(options.seed ?? 1);
  const store = await createFileContentStore(folder);
  const put = async (bytes: Uint8Array): Promise<WeightFile> => {
    const fileName = await store.put(bytes);
    return { fileName, file: await readTensorFile(bufferSource(bytes)) };
  };
  const model = encodeTensorFile(huggingFaceTensors(shape, random), { format: 'pt' }, { alignment: 'none' });
  const tensors = tensorsOf(await readTensorFile(bufferSource(model)));
  const source = openHfModel({ shape, stopIds: [0] }, tensors, 'a'.repeat(64));
  const sink = createBufferSink();
  await layBase(source, { tokenizerDigest: 'b'.repeat(64) }, sink);
  const base = await put(sink.bytes());
  const modules = options.modules ?? moduleNames;
  const adapter = await put(
    encodeAdapterFile({
      shape,
      baseDigest: base.fileName,
      ffnOrderDigest: base.file.metadata.ffnOrderDigest ?? '',
      rankMax: tinyRankMax,
      alpha: tinyAlpha,
      factors: Array.from({ length: shape.layers }, () =>
        Object.fromEntries(
          modules.map((module) => {
            const [input, output] = moduleDims(shape, module);
            const a = deviates(random, tinyRankMax * input, 0.25);
            return [module, { a, b: deviates(random, tinyRankMax * output, options.loraScale ?? 0.25) }];
          }),
        ),
      ),
    }),
  );
  return { folder, shape, base, adapter };
}

/** Rows of random tokens (0, which also pads, among them), `length` tokens each. */
export function randomRows(
  shape: ModelShape,
  lengths: readonly number[],
  options: { readonly seed?: number; readonly targets?: number } = {},
): TokenRow[] {
  const random = createRandom(options.seed ?? 7);
  return lengths.map((length) => ({
    ids: Int32Array.from({ length }, () => random.below(shape.vocab)),
    targetStart: length - (options.targets ?? 2),
  }));
}
