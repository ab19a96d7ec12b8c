import type { ByteSink } from '../../runtime.js';

/** One file of an exported model. */
export interface ExportFile {
  /** Below the folder of the export, with slashes: "onnx/model.onnx". */
  readonly path: string;
  /** Writes it, large ones piece by piece. */
  write(sink: ByteSink): Promise<void>;
}

export function textFile(path: string, text: string): ExportFile {
  return { path, write: (sink) => sink.write(new TextEncoder().encode(text)) };
}

/** A JSON file as people read it. */
export function jsonFile(path: string, value: unknown): ExportFile {
  return textFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
