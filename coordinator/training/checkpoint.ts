import { CodedError } from '@fleetlora/shared/errors';
import { encodeTensorFile, readFloats, readInts, type TensorFile } from '@fleetlora/shared/weights';
import type { AdamWState } from './adam-w.js';

/** Everything a training run needs to go on as if it had not stopped. */
export interface Checkpoint {
  /** Optimiser steps done. */
  readonly step: number;
  readonly values: Float32Array;
  readonly optimizer: AdamWState;
  /** States of the generators for the data order and for sub-networks. */
  readonly orderState: readonly number[];
  readonly subnetState: readonly number[];
  /** Rows of the current epoch still to come. */
  readonly pendingRows: readonly number[];
}

/** One safetensors file: parameters, both moments, generators, and the step in the metadata. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const floats = (name: string, data: Float32Array) => ({
    name,
    dtype: 'F32' as const,
    shape: [data.length],
    data,
  });
  const ints = (name: string, values: readonly number[]) => ({
    name,
    dtype: 'I32' as const,
    shape: [values.length],
    data: Int32Array.from(values),
  });
  return encodeTensorFile(
    [
      floats('values', checkpoint.values),
      floats('first', checkpoint.optimizer.first),
      floats('second', checkpoint.optimizer.second),
      ints('orderState', checkpoint.orderState),
      ints('subnetState', checkpoint.subnetState),
      ints('pendingRows', checkpoint.pendingRows),
    ],
    {
      format: 'fleetlora-checkpoint',
      layoutVersion: '1',
      step: String(checkpoint.step),
      updates: String(checkpoint.optimizer.step),
    },
    { alignment: 'none' },
  );
}

/** @throws WEIGHT_SHAPE when the checkpoint is of a run with another number of parameters */
export async function decodeCheckpoint(file: TensorFile, parameterCount: number): Promise<Checkpoint> {
  if (file.metadata.format !== 'fleetlora-checkpoint')
    throw new CodedError(
      'WEIGHT_SHAPE',
      `found a ${file.metadata.format ?? 'nameless'} file, wanted a fleetlora-checkpoint`,
    );
  const shape = [parameterCount];
  const unsigned = async (name: string): Promise<number[]> =>
    Array.from(await readInts(file, name), (value) => value >>> 0);
  return {
    step: Number(file.metadata.step),
    values: await readFloats(file, 'values', shape),
    optimizer: {
      first: await readFloats(file, 'first', shape),
      second: await readFloats(file, 'second', shape),
      step: Number(file.metadata.updates),
    },
    orderState: await unsigned('orderState'),
    subnetState: await unsigned('subnetState'),
    pendingRows: await unsigned('pendingRows'),
  };
}
