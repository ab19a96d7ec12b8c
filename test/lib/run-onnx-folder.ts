import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ExportedFolder } from './export-folders.js';

/** Sizes of the cache of an exported decoder, by its config.json. */
export interface CacheSizes {
  readonly num_hidden_layers: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly vocab_size: number;
}

/** A text that is fed to a decoder: 0 in the mask is padding, which lies before it. */
export interface MaskedRow {
  readonly ids: readonly number[];
  readonly mask: readonly (0 | 1)[];
}

export interface OnnxDecoder {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Logits of each row, [tokens · vocab], read `step` tokens at a time with what was read before in
   * the cache.
   */
  read(rows: readonly MaskedRow[], step?: number): Promise<number[][]>;
  release(): Promise<void>;
}

/** Writes an exported folder to the disk and opens its graph as stock tools do: by its path. */
export async function openOnnxFolder(
  exported: ExportedFolder,
  folder: string,
  sizes: CacheSizes,
): Promise<OnnxDecoder> {
  for (const [path, bytes] of exported) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  const session = await InferenceSession.create(join(folder, 'onnx', 'model.onnx'), { logSeverityLevel: 3 });
  const {
    num_hidden_layers: layers,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    vocab_size: vocab,
  } = sizes;
  const slots = Array.from({ length: layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  const ints = (rows: readonly (readonly number[])[]): Tensor => {
    const dims = [rows.length, rows[0]?.length ?? 0];
    return new Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), dims);
  };
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async read(rows, step) {
      const length = rows[0]?.ids.length ?? 0;
      const logits: number[][] = rows.map(() => []);
      let past: Record<string, Tensor> = Object.fromEntries(
        slots.map((slot) => [
          slot,
          new Tensor('float32', new Float32Array(0), [rows.length, kvHeads, 0, headDim]),
        ]),
      );
      for (let from = 0; from < length; from += step ?? length) {
        const to = Math.min(length, from + (step ?? length));
        const found = await session.run({
          input_ids: ints(rows.map(({ ids }) => ids.slice(from, to))),
          attention_mask: ints(rows.map(({ mask }) => mask.slice(0, to))),
          position_ids: ints(rows.map(({ mask }) => positionsOf(mask).slice(from, to))),
          ...Object.fromEntries(slots.map((slot) => [`past_key_values.${slot}`, past[slot] as Tensor])),
        });
        past = Object.fromEntries(slots.map((slot) => [slot, found[`present.${slot}`] as Tensor]));
        const values = found.logits?.data as Float32Array;
        const each = (to - from) * vocab;
        for (const [row, all] of logits.entries()) all.push(...values.subarray(row * each, (row + 1) * each));
      }
      return logits;
    },
    release: () => session.release(),
  };
}

/** As stock generation counts them. @source transformers, prepare_inputs_for_generation */
function positionsOf(mask: readonly number[]): number[] {
  let real = 0;
  return mask.map((one) => {
    real += one;
    return one === 0 ? 1 : real - 1;
  });
}
