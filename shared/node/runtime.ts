import { createRequire } from 'node:module';
import type * as Ort from 'onnxruntime-node';
import type { Runtime, RuntimeSession, SessionOptions, Tensor, TensorData } from '../runtime.js';

const fromOrt = (tensor: Ort.Tensor): Tensor => ({
  type: tensor.type as Tensor['type'],
  dims: tensor.dims,
  data: tensor.data as TensorData,
});

/**
 * ONNX Runtime's native CPU provider. `run` blocks the calling thread: use it in worker threads
 * and child processes. The native library is loaded with the first session, so a process that
 * only handles files does not pay for it.
 */
export function createNodeRuntime(): Runtime {
  /**
   * LoRA factors as inputs, a hundred tensors and more, go into every run: to wrap them each time
   * took 0.2 ms where a small model's step took 2.7.
   */
  const wrapped = new WeakMap<Tensor, Ort.Tensor>();
  return {
    version: `onnxruntime-node ${readVersion()}`,
    provider: 'cpu',
    async createSession(graph: Uint8Array, options: SessionOptions): Promise<RuntimeSession> {
      const ort = await import('onnxruntime-node');
      /** One of our tensors around the same memory, so later changes of its data are seen. */
      const toOrt = (tensor: Tensor): Ort.Tensor => {
        const known = wrapped.get(tensor);
        // A buffer that was transferred away has no data left: made anew, it is refused.
        if (known?.size === tensor.data.length) return known;
        const made = new ort.Tensor(tensor.type, tensor.data as never, tensor.dims as number[]);
        wrapped.set(tensor, made);
        return made;
      };
      const session = await ort.InferenceSession.create(graph, sessionOptions(options));
      return {
        async run(feeds, fetches) {
          const inputs: Record<string, Ort.Tensor> = {};
          for (const name in feeds) inputs[name] = toOrt(feeds[name] as Tensor);
          if (isNames(fetches)) return mapValues(await session.run(inputs, fetches), fromOrt);
          const outputs = mapValues(fetches, (tensor) => tensor && toOrt(tensor));
          return mapValues(
            await session.run(inputs, outputs),
            (result, name) => fetches[name] ?? fromOrt(result),
          );
        },
        release: () => session.release(),
      };
    },
  };
}

function sessionOptions(options: SessionOptions): Ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
    extra: {
      session: {
        ...(options.weightFolder === undefined
          ? {}
          : { model_external_initializers_file_folder_path: options.weightFolder }),
        ...(options.weights === 'mapped' ? { disable_prepacking: '1' } : {}),
        // Several sessions share few cores here; spinning pools would steal from each other.
        intra_op: { allow_spinning: '0' },
      },
    },
  };
}

function readVersion(): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return version;
}

function isNames(
  fetches: readonly string[] | Readonly<Record<string, Tensor | null>>,
): fetches is readonly string[] {
  return Array.isArray(fetches);
}

function mapValues<T, U>(
  record: Readonly<Record<string, T>>,
  map: (value: T, name: string) => U,
): Record<string, U> {
  const mapped: Record<string, U> = {};
  for (const name in record) mapped[name] = map(record[name] as T, name);
  return mapped;
}
