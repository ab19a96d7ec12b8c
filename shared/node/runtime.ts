import { createRequire } from 'node:module';
import type * as Ort from 'onnxruntime-node';
import type { Runtime, RuntimeSession, SessionOptions, Tensor, TensorData } from '../runtime.js';

/** Tensors by name; null for one that a run is to make. */
type Wanted = Readonly<Record<string, Tensor | null>>;

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
      /** One of our tensors around the same memory, so later changes of its data are seen. */
      const toOrt = ({ type, data, dims }: Tensor): Ort.Tensor =>
        new ort.Tensor(type, data as never, dims as number[]);
      /** To wrap a small model's caches and factors anew in each step took a tenth of its time. */
      const wrap = onceEach((tensors: Wanted) => ({
        wrapped: mapValues(tensors, (tensor) => tensor && toOrt(tensor)),
        given: Object.values(tensors).filter((tensor) => tensor !== null),
        fresh: Object.keys(tensors).filter((name) => tensors[name] === null),
      }));
      const wrapKept = (tensors: Wanted): ReturnType<typeof wrap> => {
        const known = wrap(tensors);
        // A buffer that was transferred away has no data left: wrapped anew, it is refused.
        for (const tensor of known.given) if (tensor.data.length === 0) toOrt(tensor);
        return known;
      };
      const session = await ort.InferenceSession.create(graph, sessionOptions(options));
      return {
        async run(feeds, fetches, kept = []) {
          const inputs = mapValues(feeds, toOrt);
          for (const tensors of kept) Object.assign(inputs, wrapKept(tensors).wrapped);
          if (isNames(fetches)) return mapValues(await session.run(inputs, fetches), fromOrt);
          const { wrapped, fresh } = wrapKept(fetches);
          const results = await session.run(inputs, wrapped);
          const found = { ...fetches } as Record<string, Tensor>;
          for (const name of fresh) found[name] = fromOrt(results[name] as Ort.Tensor);
          return found;
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
        ...(options.idle === 'spin' && options.threads > 1
          ? { intra_op: { allow_spinning: '1' }, force_spinning_stop: '1' }
          : { intra_op: { allow_spinning: '0' } }),
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

/** What is made of an object, made once for as long as the object lives. */
function onceEach<T extends object, U>(make: (of: T) => U): (of: T) => U {
  const known = new WeakMap<T, U>();
  return (of) => {
    const found = known.get(of);
    if (found !== undefined) return found;
    const made = make(of);
    known.set(of, made);
    return made;
  };
}
