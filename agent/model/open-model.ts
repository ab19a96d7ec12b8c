import { join } from 'node:path';
import type { CandidateModel } from '@fleetlora/shared/engine';
import { type ModelShape, readModelShape } from '@fleetlora/shared/graph/model-shape';
import { openFileSource } from '@fleetlora/shared/node/file-source';
import { decodeGenome } from '@fleetlora/shared/space/genome';
import { readTensorFile } from '@fleetlora/shared/weights/tensor-file';

/** A model as a JSON value: files of one folder, and what to make of them. */
export interface ModelFiles {
  readonly folder: string;
  /** Name of the base file in `folder`. */
  readonly base: string;
  /** Super-adapter, or expanded package; null for the plain base. */
  readonly overlay: string | null;
  /** Canonical text; null for the plain base. */
  readonly genome: string | null;
}

export interface OpenedModel {
  readonly model: CandidateModel;
  readonly shape: ModelShape;
  /** Metadata of the base file. */
  readonly baseMetadata: Readonly<Record<string, string>>;
  /** Closes the files; sessions that map them stay usable. */
  close(): Promise<void>;
}

/**
 * Reads the headers of a model's files.
 * @throws NOT_FOUND, SAFETENSORS_*, LAYOUT_VERSION, MODEL_CONFIG, GENOME_MALFORMED
 */
export async function openModel(files: ModelFiles): Promise<OpenedModel> {
  const opened: { close(): Promise<void> }[] = [];
  const open = async (name: string) => {
    const source = await openFileSource(join(files.folder, name));
    opened.push(source);
    return { fileName: name, file: await readTensorFile(source) };
  };
  const close = async (): Promise<void> => {
    for (const source of opened) await source.close();
  };
  try {
    const base = await open(files.base);
    const shape = readModelShape(base.file);
    const overlay = files.overlay === null ? null : await open(files.overlay);
    const genome = files.genome === null ? null : decodeGenome(files.genome);
    return {
      model: { folder: files.folder, base, overlay, genome },
      shape,
      baseMetadata: base.file.metadata,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
