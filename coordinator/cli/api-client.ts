import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CodedError, type ErrorCode, errorTable, messageOf } from '@fleetlora/shared/errors';
import type {
  Adapter,
  AdapterExport,
  AdapterExported,
  AdapterImport,
  AdapterMerge,
  AdapterTune,
  Base,
  BaseImport,
  BasePrune,
  BaseQuantise,
  Code,
  CodeCreate,
  Dataset,
  DatasetImport,
  Device,
  Front,
  GarbageCollect,
  GarbageReport,
  Health,
  Labels,
  PolicySet,
  Release,
  ReleaseCreate,
  Retention,
  Rollout,
  RolloutStart,
  ScopedPolicy,
  Search,
  SearchStart,
  Training,
  TrainingStart,
  Trial,
  TrialComparison,
  Upload,
} from '@fleetlora/shared/protocol';
import { routes, uploadLengthHeader } from '@fleetlora/shared/protocol';

/** What goes into and comes out of every route a person uses. */
interface Exchanges {
  health: { body: undefined; answer: Health };
  importBase: { body: BaseImport; answer: Base };
  listBases: { body: undefined; answer: Base[] };
  quantiseBase: { body: BaseQuantise; answer: Base };
  pruneBase: { body: BasePrune; answer: Base };
  importAdapter: { body: AdapterImport; answer: Adapter };
  listAdapters: { body: undefined; answer: Adapter[] };
  exportAdapter: { body: AdapterExport; answer: AdapterExported };
  tuneAdapter: { body: AdapterTune; answer: Training };
  mergeAdapter: { body: AdapterMerge; answer: Base };
  importDataset: { body: DatasetImport; answer: Dataset };
  listDatasets: { body: undefined; answer: Dataset[] };
  showDataset: { body: undefined; answer: Dataset };
  startTraining: { body: TrainingStart; answer: Training };
  listTrainings: { body: undefined; answer: Training[] };
  showTraining: { body: undefined; answer: Training };
  stopTraining: { body: undefined; answer: Training };
  createCode: { body: CodeCreate; answer: Code };
  listDevices: { body: undefined; answer: Device[] };
  showDevice: { body: undefined; answer: Device };
  setLabels: { body: Labels; answer: Device };
  qualifyDevice: { body: undefined; answer: Device };
  listPolicies: { body: undefined; answer: ScopedPolicy[] };
  setPolicy: { body: PolicySet; answer: ScopedPolicy };
  removePolicy: { body: undefined; answer: ScopedPolicy };
  startSearch: { body: SearchStart; answer: Search };
  listSearches: { body: undefined; answer: Search[] };
  showSearch: { body: undefined; answer: Search };
  listTrials: { body: undefined; answer: Trial[] };
  showFront: { body: undefined; answer: Front };
  stopSearch: { body: undefined; answer: Search };
  compareTrials: { body: undefined; answer: TrialComparison };
  createRelease: { body: ReleaseCreate; answer: Release };
  listReleases: { body: undefined; answer: Release[] };
  showRelease: { body: undefined; answer: Release };
  startRollout: { body: RolloutStart; answer: Rollout };
  listRollouts: { body: undefined; answer: Rollout[] };
  showRollout: { body: undefined; answer: Rollout };
  showRetention: { body: undefined; answer: Retention };
  setRetention: { body: Retention; answer: Retention };
  collectGarbage: { body: GarbageCollect; answer: GarbageReport };
}
export type RouteName = keyof Exchanges;

export interface ApiClient {
  readonly url: string;
  readonly token: string | null;
  /**
   * Calls a route.
   * @throws the coordinator's own CodedError, or COORDINATOR_UNREACHABLE
   */
  call<R extends RouteName>(
    route: R,
    request?: {
      id?: string;
      params?: Readonly<Record<string, string>>;
      query?: Readonly<Record<string, string>>;
      body?: Exchanges[R]['body'];
    },
  ): Promise<Exchanges[R]['answer']>;
  /** Sends a stream of `bytes` bytes to the content store. */
  upload(chunks: AsyncIterable<Uint8Array>, bytes: number): Promise<Upload>;
  /** The first `bytes` bytes of a stored blob (fewer when it is shorter) as text. */
  readStart(digest: string, bytes: number): Promise<string>;
  /**
   * Writes a stored blob to `path`, beside it first and renamed when complete.
   * @throws COORDINATOR_UNREACHABLE when it breaks off
   */
  download(digest: string, path: string): Promise<void>;
  /** Sends the coordinator's backup, chunk by chunk. @throws COORDINATOR_UNREACHABLE when it breaks off */
  backup(): AsyncGenerator<Uint8Array>;
}

/** A client of the coordinator at `url`. */
export function createApiClient(options: {
  url: string;
  token: string | null;
  signal: AbortSignal;
}): ApiClient {
  const { url, token, signal } = options;

  async function request(
    route: keyof typeof routes,
    /** What stands for the parameter of its path, or for each of them by name. */
    id: string | Readonly<Record<string, string>> | undefined,
    init: RequestInit,
    query: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const [method, template] = routes[route].split(' ') as [string, string];
    const search = new URLSearchParams(query).toString();
    const place = template.replace(/:([a-z]+)/g, (_, name: string) =>
      encodeURIComponent((typeof id === 'object' ? id[name] : id) ?? ''),
    );
    const path = search === '' ? place : `${place}?${search}`;
    let response: Response;
    try {
      const headers = { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...init.headers };
      response = await fetch(`${url}${path}`, { ...init, method, headers, signal });
    } catch (cause) {
      signal.throwIfAborted();
      const reason =
        cause instanceof Error && cause.cause !== undefined ? messageOf(cause.cause) : messageOf(cause);
      throw new CodedError('COORDINATOR_UNREACHABLE', `no coordinator answers at ${url} (${reason})`, {
        cause,
      });
    }
    if (!response.ok) throw await readError(response, `${method} ${path}`);
    return response;
  }

  return {
    url,
    token,
    async call(route, { id, params, query, body } = {}) {
      const init: RequestInit =
        body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
      const response = await request(route, params ?? id, init, query);
      return (await response.json()) as Exchanges[typeof route]['answer'];
    },
    async upload(chunks, bytes) {
      const init: RequestInit & { duplex: 'half' } = {
        body: Readable.toWeb(Readable.from(chunks)) as ReadableStream<Uint8Array>,
        duplex: 'half',
        headers: { 'content-type': 'application/octet-stream', [uploadLengthHeader]: String(bytes) },
      };
      return (await (await request('upload', undefined, init)).json()) as Upload;
    },
    async readStart(digest, bytes) {
      const response = await request('artifact', digest, { headers: { range: `bytes=0-${bytes - 1}` } });
      return response.text();
    },
    async download(digest, path) {
      const { body } = await request('artifact', digest, {});
      if (body === null) throw new CodedError('NOT_FOUND', `artifact ${digest} came back empty`);
      const partial = `${path}.partial`;
      try {
        await pipeline(
          Readable.fromWeb(body as import('node:stream/web').ReadableStream),
          createWriteStream(partial),
        );
        await rename(partial, path);
      } catch (cause) {
        signal.throwIfAborted();
        // What the file system refuses says which call it refused.
        if ((cause as NodeJS.ErrnoException).syscall !== undefined) throw cause;
        throw new CodedError('COORDINATOR_UNREACHABLE', `the download of ${digest} broke off`, { cause });
      } finally {
        await rm(partial, { force: true });
      }
    },
    async *backup() {
      const { body } = await request('backup', undefined, {});
      let bytes = 0;
      try {
        for await (const chunk of body ?? []) {
          bytes += chunk.length;
          yield chunk;
        }
      } catch (cause) {
        signal.throwIfAborted();
        const reason = `the backup broke off after ${bytes} bytes; the coordinator's log says why`;
        throw new CodedError('COORDINATOR_UNREACHABLE', reason, { cause });
      }
    },
  };
}

/** The coordinator's `{code, message}` as the error it was there. */
async function readError(response: Response, what: string): Promise<CodedError> {
  const text = await response.text();
  try {
    const { code, message } = JSON.parse(text) as { code?: unknown; message?: unknown };
    if (typeof code === 'string' && Object.hasOwn(errorTable, code))
      return new CodedError(code as ErrorCode, String(message));
  } catch {
    // Not one of ours: a proxy, or another server on that port.
  }
  return new CodedError(
    'COORDINATOR_UNREACHABLE',
    `${what} was answered with HTTP ${response.status}, not by a fleetlora coordinator`,
  );
}
