import { inputModuleOf } from '../graph/input-squares.js';
import { moduleDims } from '../graph/model-shape.js';
import type { ByteSink } from '../runtime.js';
import { transpose } from '../weights/permute.js';
import type { TensorFile } from '../weights/tensor-file.js';
import type { PruningRecord } from './compression-record.js';
import type { InputNorms, LayerNorms } from './measure-inputs.js';
import { pruneRows, requireSparsity } from './prune-rows.js';
import { rewriteBase } from './rewrite-base.js';

/**
 * Writes a base file in which every linear module of every layer has the same share of zeros in each
 * output's row, the least important weights (`pruneRows`); embedding, head, norms and biases stay. It
 * says so in its metadata, under `pruning`.
 * @param norms measured on this file
 * @throws what rewriteBase and pruneRows throw
 * @source Shears (arXiv 2404.10934) section 3.1: unstructured sparsity by Wanda before the adapters
 */
export async function pruneBase(
  base: { readonly file: TensorFile; readonly digest: string },
  norms: InputNorms,
  about: { readonly sparsity: number; readonly datasetDigest: string; readonly rows: number },
  sink: ByteSink,
): Promise<void> {
  requireSparsity(about.sparsity);
  const record: PruningRecord = {
    method: 'wanda',
    sparsity: about.sparsity,
    baseDigest: base.digest,
    datasetDigest: about.datasetDigest,
    rows: about.rows,
    tokens: norms.tokens,
  };
  await rewriteBase(
    base.file,
    { pruning: JSON.stringify(record) },
    async ({ layer, module }, matrix, shape) => {
      const inputs = (norms.layers[layer] as LayerNorms)[inputModuleOf(module)];
      if (module !== 'down') {
        pruneRows(matrix, inputs, about.sparsity);
        return matrix;
      }
      const [input, output] = moduleDims(shape, module);
      const byOutput = transpose(matrix, input, output);
      pruneRows(byOutput, inputs, about.sparsity);
      return transpose(byOutput, output, input);
    },
    sink,
  );
}
