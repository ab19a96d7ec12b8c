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
  return {
    version: `onnxruntime-node ${readVersion()}`,
    provider: 'cpu',
    async createSession(graph: Uint8Array, options: SessionOptions): Promise<RuntimeSession> {
      const ort = await import('onnxruntime-node');
      /** Wraps one of our tensors without copying its data. */
      const toOrt = (tensor: Tensor): Ort.Tensor =>
        new ort.Tensor(tensor.type, tensor.data as never, tensor.dims as number[]);
      const session = await ort.InferenceSession.create(graph, sessionOptions(options));
      return {
        async run(feeds, fetches) {
          const inputs = Object.fromEntries(
            Object.entries(feeds).map(([name, tensor]) => [name, toOrt(tensor)]),
          );
          const wanted = isNames(fetches)
            ? fetches
            : Object.fromEntries(
                Object.entries(fetches).map(([name, tensor]) => [name, tensor && toOrt(tensor)]),
              );
          const results = await session.run(inputs, wanted);
          return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromOrt(tensor)]));
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
