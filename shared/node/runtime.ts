import * as ort from 'onnxruntime-node';
import type { Runtime, RuntimeSession, SessionOptions, Tensor, TensorData } from '../runtime.js';

/** Wraps one of our tensors without copying its data. */
const toOrt = (tensor: Tensor): ort.Tensor => new ort.Tensor(tensor.type, tensor.data as never, tensor.dims as number[]);
const fromOrt = (tensor: ort.Tensor): Tensor => ({
  type: tensor.type as Tensor['type'],
  dims: tensor.dims,
  data: tensor.data as TensorData,
});

/**
 * ONNX Runtime's native CPU provider. `run` blocks the calling thread: use it in worker threads
 * and child processes.
 */
export function createNodeRuntime(): Runtime {
  return {
    version: `onnxruntime-node ${ort.env.versions.node ?? 'unknown'}`,
    provider: 'cpu',
    async createSession(graph: Uint8Array, options: SessionOptions): Promise<RuntimeSession> {
      const session = await ort.InferenceSession.create(graph, {
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
      });
      return {
        async run(feeds, fetches) {
          const inputs = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toOrt(tensor)]));
          const wanted = isNames(fetches)
            ? fetches
            : Object.fromEntries(Object.entries(fetches).map(([name, tensor]) => [name, tensor && toOrt(tensor)]));
          const results = await session.run(inputs, wanted);
          return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromOrt(tensor)]));
        },
        release: () => session.release(),
      };
    },
  };
}

function isNames(fetches: readonly string[] | Readonly<Record<string, Tensor | null>>): fetches is readonly string[] {
  return Array.isArray(fetches);
}
