/**
 * What the pure core needs from its platform. `shared/node` and `shared/web` implement these;
 * everything else in shared/ is handed one.
 */

/** Random-access bytes: a file, a Blob, a buffer. */
export interface ByteSource {
  /** Total length in bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; rejects when the range is not inside the source. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Bytes that go somewhere one after another: into a file, a buffer, a digest. */
export interface ByteSink {
  /** Told before the first byte how many there will be; rejects when there is no room for them. */
  expect?(bytes: number): Promise<void>;
  /** Appends; the array may be used again once it resolves. */
  write(bytes: Uint8Array): Promise<void>;
}

/** Immutable blobs by SHA-256 (64 lower-case hex digits). */
export interface ContentStore {
  has(digest: string): Promise<boolean>;
  /** Opens a stored blob; NOT_FOUND when absent. */
  open(digest: string): Promise<ByteSource>;
  /** Stores a whole blob and returns its digest; storing it twice is harmless. */
  put(bytes: Uint8Array): Promise<string>;
}

export type TensorData = Float32Array | BigInt64Array | Int32Array;

/** A dense row-major tensor; `data.length` equals the product of `dims`. */
export interface Tensor {
  readonly type: 'float32' | 'int64' | 'int32';
  readonly dims: readonly number[];
  readonly data: TensorData;
}

export interface SessionOptions {
  /** Folder that external tensor locations are relative to. */
  readonly weightFolder?: string;
  /** Threads inside one operator. */
  readonly threads: number;
  /**
   * Copy constant matrices into the kernel's blocked layout at load (`prepacked`: faster steps,
   * slower load, private memory) or read them where they lie in the weight file (`mapped`).
   */
  readonly weights?: 'prepacked' | 'mapped';
  /**
   * How threads wait for their part of the next operator: asleep, the default, or spinning, which
   * saves a wake-up for each of the hundreds of operators of a run and takes the processor from
   * whoever else wants it. Between runs they sleep.
   */
  readonly idle?: 'sleep' | 'spin';
}

/** A loaded graph. One run at a time. */
export interface RuntimeSession {
  /**
   * Runs the graph.
   * @param feeds every graph input by name
   * @param fetches names to compute, or name → preallocated tensor that the result is written to; of a
   *   record that is given again nothing is looked at again
   * @param kept further graph inputs, in records that are given again and again, as a cache or LoRA
   *   factors are: their data may change, the records and the tensors' places may not
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: readonly string[] | Readonly<Record<string, Tensor | null>>,
    kept?: readonly Readonly<Record<string, Tensor>>[],
  ): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

export interface Runtime {
  /** For example "onnxruntime-node 1.30.0". */
  readonly version: string;
  /** For example "cpu". */
  readonly provider: string;
  /** @param graph a serialised ONNX ModelProto */
  createSession(graph: Uint8Array, options: SessionOptions): Promise<RuntimeSession>;
}

export function floatTensor(dims: readonly number[], data: Float32Array): Tensor {
  return { type: 'float32', dims, data };
}
export function int64Tensor(dims: readonly number[], values: readonly number[]): Tensor {
  return { type: 'int64', dims, data: BigInt64Array.from(values, BigInt) };
}
export function int32Tensor(dims: readonly number[], values: readonly number[]): Tensor {
  return { type: 'int32', dims, data: Int32Array.from(values) };
}
