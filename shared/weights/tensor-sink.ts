import { CodedError } from '../errors.js';
import type { ByteSink } from '../runtime.js';
import {
  type Alignment,
  encodeValues,
  planTensorFile,
  specBytes,
  type TensorSpec,
} from './encode-tensor-file.js';
import { dtypeBytes } from './tensor-file.js';

/** A weight file that is being written, one tensor after another, as `beginTensorFile` was told. */
export interface TensorSink {
  /**
   * Appends values of the tensor whose turn it is: all of them, or some, and the rest in further
   * calls. The array may be used again once it resolves.
   * @throws BUG when another tensor is due, or more values are given than it has
   * @throws WEIGHT_DTYPE when a finite value does not fit into F16 or BF16
   */
  write(name: string, data: Float32Array | Int32Array | Uint8Array): Promise<void>;
  /** @throws BUG when values are missing */
  end(): Promise<void>;
}

/**
 * Begins a weight file, byte for byte the one that `encodeTensorFile` makes of the same tensors,
 * without ever holding it: sizes stand in its header, so they are told first and values follow.
 * @returns after the header is written
 */
export async function beginTensorFile(
  sink: ByteSink,
  tensors: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>>,
  { alignment }: { readonly alignment: Alignment },
): Promise<TensorSink> {
  const { head, offsets, size } = planTensorFile(tensors, metadata, alignment);
  await sink.expect?.(size);
  await sink.write(head);
  let position = head.length;
  let turn = 0;
  /** Bytes of the tensor whose turn it is that are written. */
  let done = 0;
  return {
    async write(name, data) {
      const tensor = tensors[turn];
      if (tensor?.name !== name)
        throw new CodedError('BUG', `tensor "${name}" was written when "${tensor?.name}" was due`);
      const count = data instanceof Uint8Array ? data.length / dtypeBytes[tensor.dtype] : data.length;
      const bytes = encodeValues(tensor, data, count);
      const whole = specBytes(tensor);
      if (done + bytes.length > whole)
        throw new CodedError(
          'BUG',
          `tensor "${name}" has ${whole} bytes, ${done + bytes.length} were written`,
        );
      const offset = offsets[turn] as number;
      // What aligns a tensor stands before it: zeros that belong to a padding tensor.
      if (done === 0 && offset > position) await sink.write(new Uint8Array(offset - position));
      await sink.write(bytes);
      done += bytes.length;
      position = offset + done;
      if (done < whole) return;
      turn++;
      done = 0;
    },
    async end() {
      const missing = tensors[turn];
      if (missing)
        throw new CodedError(
          'BUG',
          `weight file ends with ${done} of ${specBytes(missing)} bytes of "${missing.name}" written`,
        );
    },
  };
}

/** A sink in memory, for files that are small. */
export function createBufferSink(): ByteSink & { bytes(): Uint8Array } {
  const chunks: Uint8Array[] = [];
  return {
    async write(bytes) {
      chunks.push(bytes.slice());
    },
    bytes() {
      const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
      let offset = 0;
      for (const chunk of chunks) {
        whole.set(chunk, offset);
        offset += chunk.length;
      }
      return whole;
    },
  };
}
