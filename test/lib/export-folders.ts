import type { Genome } from '@fleetlora/shared/space';
import {
  bufferSource,
  createBufferSink,
  type ExportDtype,
  type ExportFile,
  type ExportKind,
  type ExportTokenizer,
  openExport,
  planExport,
  readFloats,
  readGguf,
  readGgufRows,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { tinyTokenizer } from './tiny-llama.js';

/** Files of an exported folder by their path. */
export type ExportedFolder = ReadonlyMap<string, Uint8Array>;

export async function collectFiles(files: readonly ExportFile[]): Promise<ExportedFolder> {
  const folder = new Map<string, Uint8Array>();
  for (const { path, write } of files) {
    const sink = createBufferSink();
    await write(sink);
    folder.set(path, sink.bytes());
  }
  return folder;
}

/** A tokenizer of single bytes for a model of `vocab` tokens, of which 0 ends a text. */
export function exportTokenizer(vocab: number): ExportTokenizer {
  const json = tinyTokenizer(vocab - 1);
  return { bytes: new TextEncoder().encode(JSON.stringify(json)), json, chat: null, stopIds: [0] };
}

/** A candidate of files in memory, exported. */
export async function exportModel(
  files: { readonly base: TensorFile; readonly adapter: TensorFile | null; readonly genome: Genome },
  kind: ExportKind,
  dtype: ExportDtype | null = null,
): Promise<ExportedFolder> {
  const source = await openExport(files);
  const tokenizer = exportTokenizer(source.cut.shape.vocab);
  return collectFiles(await planExport(source, { kind, dtype, name: 'tiny', tokenizer }));
}

const bytesOf = (folder: ExportedFolder, path: string): Uint8Array => {
  const bytes = folder.get(path);
  if (!bytes) throw new Error(`no ${path} among ${[...folder.keys()].join(', ')}`);
  return bytes;
};
export const openTensors = (folder: ExportedFolder, path: string): Promise<TensorFile> =>
  readTensorFile(bufferSource(bytesOf(folder, path)));
export const readExportedJson = (folder: ExportedFolder, path: string): unknown =>
  JSON.parse(new TextDecoder().decode(bytesOf(folder, path)));

/** Every tensor of a safetensors file, widened. */
export async function readAll(file: TensorFile): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const name of file.tensors.keys()) all.set(name, await readFloats(file, name));
  return all;
}

/** Metadata and tensors of a GGUF file, the latter widened and as they lie in it. */
export async function openExportedGguf(folder: ExportedFolder, path: string) {
  const file = await readGguf(bufferSource(bytesOf(folder, path)));
  const tensors = new Map<string, Float32Array>();
  for (const [name, tensor] of file.tensors)
    tensors.set(name, await readGgufRows(file, tensor, 0, tensor.shape[0] ?? 0));
  return { ...file, values: tensors };
}
