import { hasBias, type ModelShape, moduleDims, moduleNames } from '../graph/model-shape.js';

/** What a base import needs to know of a model beside its weights. */
export interface ModelConfig {
  readonly shape: ModelShape;
  /** Tokens that end a text; the first one is what training appends. */
  readonly stopIds: readonly number[];
}

/**
 * A model to be laid out as a base, whatever files it lies in. Who makes one has checked that every
 * tensor of `sourceTensors` is there in its shape and in a type that can be read, and that nothing
 * is there which our graphs would leave out; so laying a base never fails half way for that.
 */
export interface ModelSource {
  readonly config: ModelConfig;
  /** SHA-256 of what the weights were read from: of a file, or of its shards together. */
  readonly sourceDigest: string;
  /**
   * Rows `first` to `first + rows - 1` of a tensor, widened to F32, row-major; of a vector that many
   * values. The caller may change the array. Rows of q and k are asked for in whole heads.
   * @param name of `sourceTensors`
   */
  readRows(name: string, first: number, rows: number): Promise<Float32Array>;
}

/**
 * The tensors that a model of this shape has, by their names in a base file, in the order of the
 * file: matrices [out, in] in the order of the model's own channels (`down` too, which a base file
 * stores transposed), norms [hidden], biases [out].
 */
export function sourceTensors(shape: ModelShape): Map<string, readonly number[]> {
  const { hidden, vocab } = shape;
  const tensors = new Map<string, readonly number[]>([['embed', [vocab, hidden]]]);
  if (!shape.tiedHead) tensors.set('head', [vocab, hidden]);
  tensors.set('norm', [hidden]);
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `layers.${layer}`;
    tensors.set(`${at}.inputNorm`, [hidden]).set(`${at}.postNorm`, [hidden]);
    for (const module of moduleNames) {
      const [input, output] = moduleDims(shape, module);
      tensors.set(`${at}.${module}`, [output, input]);
      if (hasBias(shape, module)) tensors.set(`${at}.${module}.bias`, [output]);
    }
  }
  return tensors;
}
