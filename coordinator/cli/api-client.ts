import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CodedError, type ErrorCode, errorTable, messageOf } from '@fleetlora/shared/errors';
import type {
  Adapter,
  AdapterImport,
  Base,
  BaseImport,
  Code,
  CodeCreate,
  Dataset,
  DatasetImport,
  Device,
  Front,
  Health,
  Release,
  ReleaseCreate,
  Rollout,
  RolloutStart,
  Search,
  SearchStart,
  Training,
  TrainingStart,
  Trial,
  Upload,
} from '@fleetlora/shared/protocol';
import { routes } from '@fleetlora/shared/protocol';

/** What goes into and comes out of every route a person uses. */
interface Exchanges {
  health: { body: undefined; answer: Health };
  importBase: { body: BaseImport; answer: Base };
  listBases: { body: undefined; answer: Base[] };
  importAdapter: { body: AdapterImport; answer: Adapter };
  listAdapters: { body: undefined; answer: Adapter[] };
  importDataset: { body: DatasetImport; answer: Dataset };
  listDatasets: { body: undefined; answer: Dataset[] };
  startTraining: { body: TrainingStart; answer: Training };
  listTrainings: { body: undefined; answer: Training[] };
  showTraining: { body: undefined; answer: Training };
  stopTraining: { body: undefined; answer: Training };
  createCode: { body: CodeCreate; answer: Code };
  listDevices: { body: undefined; answer: Device[] };
  showDevice: { body: undefined; answer: Device };
  startSearch: { body: SearchStart; answer: Search };
  listSearches: { body: undefined; answer: Search[] };
  showSearch: { body: undefined; answer: Search };
  listTrials: { body: undefined; answer: Trial[] };
  showFront: { body: undefined; answer: Front };
  stopSearch: { body: undefined; answer: Search };
  createRelease: { body: ReleaseCreate; answer: Release };
  listReleases: { body: undefined; answer: Release[] };
  showRelease: { body: undefined; answer: Release };
  startRollout: { body: RolloutStart; answer: Rollout };
  listRollouts: { body: undefined; answer: Rollout[] };
  showRollout: { body: undefined; answer: Rollout };
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
    request?: { id?: string; body?: Exchanges[R]['body'] },
  ): Promise<Exchanges[R]['answer']>;
  /** Sends a stream of bytes to the content store. */
  upload(chunks: AsyncIterable<Uint8Array>): Promise<Upload>;
  /** Writes a stored blob to `path`, beside it first and renamed when complete. */
  download(digest: string, path: string): Promise<void>;
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
    id: string | undefined,
    init: RequestInit,
  ): Promise<Response> {
    const [method, template] = routes[route].split(' ') as [string, string];
    const path = template.replace(/:(id|digest)/, encodeURIComponent(id ?? ''));
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
    async call(route, { id, body } = {}) {
      const init: RequestInit =
        body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
      const response = await request(route, id, init);
      return (await response.json()) as Exchanges[typeof route]['answer'];
    },
    async upload(chunks) {
      const init: RequestInit & { duplex: 'half' } = {
        body: Readable.toWeb(Readable.from(chunks)) as ReadableStream<Uint8Array>,
        duplex: 'half',
        headers: { 'content-type': 'application/octet-stream' },
      };
      return (await (await request('upload', undefined, init)).json()) as Upload;
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
      } finally {
        await rm(partial, { force: true });
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
