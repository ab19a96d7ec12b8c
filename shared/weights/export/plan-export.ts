import { CodedError } from '../../errors.js';
import { precisionOf } from '../../graph/layer-cut.js';
import { readModelShape } from '../../graph/model-shape.js';
import { writeGgufTokenizer } from '../../text/write-gguf-tokenizer.js';
import { readAdapterFacts } from '../adapter-facts.js';
import { readModelOrders } from '../model-orders.js';
import { readPeftRecord } from '../peft-record.js';
import type { TensorFile } from '../tensor-file.js';
import { type PeftFiles, writeCandidatePeft, writePeftAdapter } from '../write-peft.js';
import type { ExportFile } from './export-file.js';
import { type ExportDtype, type ExportKind, tensorDtype } from './export-kinds.js';
import type { ExportSource } from './export-source.js';
import { onnxFiles } from './onnx-files.js';
import { type ExportTokenizer, tokenizerFiles } from './tokenizer-files.js';
import { ggufLora, ggufModel } from './write-gguf-model.js';
import { hfConfigFiles, hfWeights } from './write-hf.js';

/**
 * Files of a candidate for stock tools.
 * - `peft`: adapter_config.json and adapter_model.safetensors. They fit the original model when only
 *   ranks were chosen; else the model that they fit comes along in `base/`, a Hugging Face folder.
 * - `hf`: a Hugging Face folder with the adapter merged.
 * - `gguf`: `base.gguf` and `adapter.gguf`, or `model.gguf` of a merged candidate and one of rank 0.
 * - `onnx`: a folder as transformers.js loads it, merged or not; always F32.
 *
 * Layers that are left out are not there. Where layers differ in FFN width or heads, all are as wide
 * as the widest, filled up with zeros that change nothing (in ONNX only heads are). Of a quantised
 * base it is the weights that its numbers stand for.
 * @param options.dtype null: f32
 * @param options.name of the model, for files that hold one
 * @throws TOKENIZER, UNSUPPORTED_ARCHITECTURE for what the format cannot say; ADAPTER_CONFIG for a
 *   PEFT adapter of a candidate without one, and for a masked adapter that would stay beside its base;
 *   WEIGHT_DTYPE for ONNX in f16 and, once they are written, for values that do not fit into it
 */
export async function planExport(
  source: ExportSource,
  options: {
    readonly kind: ExportKind;
    readonly dtype: ExportDtype | null;
    readonly name: string;
    readonly tokenizer: ExportTokenizer;
  },
): Promise<ExportFile[]> {
  const { kind, name, tokenizer } = options;
  const dtype = options.dtype ?? 'f32';
  const { shape, genome, isWhole } = source.cut;
  const hfFolder = (form: 'base' | 'merged', folder: string): ExportFile[] => [
    ...hfConfigFiles(source, { dtype, folder }),
    ...tokenizerFiles(tokenizer, { folder, positions: shape.positions }),
    hfWeights(source, form, { dtype, folder }),
  ];
  const isMerged = genome.form === 'merged' || source.modules.length === 0;
  const needsLora = kind === 'peft' || (kind !== 'hf' && !isMerged);
  if (source.isMasked && needsLora && source.modules.length > 0) throw maskedError();
  switch (kind) {
    case 'peft': {
      const adapter = peftFolder(await writeCandidatePeft(source, tensorDtype[dtype]));
      const fitsOriginal = isWhole && precisionOf(genome) === 'fp32';
      return fitsOriginal ? adapter : [...adapter, ...hfFolder('base', 'base/')];
    }
    case 'hf':
      return hfFolder('merged', '');
    case 'gguf': {
      const { stopIds, chat, json } = tokenizer;
      const fields = writeGgufTokenizer(json, { vocab: shape.vocab, stopIds, chat });
      const model = (form: 'base' | 'merged', path: string): ExportFile =>
        ggufModel(source, form, { path, name, dtype, tokenizer: fields });
      return isMerged
        ? [model('merged', 'model.gguf')]
        : [model('base', 'base.gguf'), ggufLora(source, 'adapter.gguf')];
    }
    case 'onnx':
      if (dtype !== 'f32')
        throw new CodedError('WEIGHT_DTYPE', `an ONNX export in ${dtype} was asked for, f32 is possible`);
      return [
        ...hfConfigFiles(source, {
          dtype,
          folder: '',
          // What transformers.js reads without being told: F32 weights in a file beside the graph.
          more: { 'transformers.js_config': { dtype: 'fp32', use_external_data_format: true } },
        }),
        ...tokenizerFiles(tokenizer, { folder: '', positions: shape.positions }),
        ...onnxFiles(source, isMerged ? 'merged' : 'unmerged'),
      ];
  }
}

/**
 * Files of a whole super-adapter as PEFT, for the original model. One that was imported comes back
 * with the same tensors, byte for byte, and a config that means the same.
 * @param base fp32
 * @param dtype null: that of the import, F32 for a super-adapter that was trained
 * @throws WEIGHT_DTYPE when a value does not fit into the type, ADAPTER_CONFIG for a masked adapter
 */
export async function planWholePeft(
  base: TensorFile,
  adapter: TensorFile,
  dtype: ExportDtype | null,
): Promise<ExportFile[]> {
  const facts = readAdapterFacts(adapter);
  if (facts.masked !== undefined) throw maskedError();
  const own = readPeftRecord(adapter, facts)?.dtype ?? 'F32';
  const orders = await readModelOrders(base, readModelShape(base));
  return peftFolder(await writePeftAdapter(adapter, orders, dtype === null ? own : tensorDtype[dtype]));
}

/** What no format says but by weights that hold the sum. */
function maskedError(): CodedError {
  return new CodedError(
    'ADAPTER_CONFIG',
    'the adapter is masked by the zeros of its base, wanted it as hf, or a merged candidate as gguf or onnx',
  );
}

function peftFolder(files: PeftFiles): ExportFile[] {
  return Object.entries(files).map(
    ([path, bytes]): ExportFile => ({ path, write: (sink) => sink.write(bytes) }),
  );
}
