import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { CodedError } from '@fleetlora/shared/errors';
import { type FileContentStore, orDiskFull, requireSpace } from '@fleetlora/shared/node';
import {
  Digest,
  limits,
  type Upload,
  Upload as UploadSchema,
  uploadLengthHeader,
} from '@fleetlora/shared/protocol';
import { Type } from 'typebox';
import { parseRange } from './byte-range.js';
import type { ApiDomains } from './ports.js';
import { type ApiScope, creates, routeOf } from './route.js';

/** Bulk bytes in and out of the content store, as streams. */
export function addFileRoutes(api: ApiScope, { files, incomingFolder }: ApiDomains): void {
  api.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  api.route({
    ...routeOf('upload'),
    schema: {
      consumes: ['application/octet-stream'],
      response: creates(UploadSchema),
    },
    handler: async ({ body, headers }, reply) => {
      if (!isStream(body))
        throw new CodedError(
          'BAD_REQUEST',
          `upload of type ${headers['content-type'] ?? 'unknown'}, wanted application/octet-stream`,
        );
      const upload = await receiveUpload(body, files, incomingFolder, {
        bytesAtMost: limits.uploadBytes,
        announcedBytes: announcedBytes(headers),
      });
      return reply.code(201).send(upload);
    },
  });

  // HEAD comes with GET: fastify answers it from the same handler.
  api.route({
    ...routeOf('artifact'),
    schema: {
      params: Type.Object({ digest: Digest }),
    },
    handler: async ({ params: { digest }, headers }, reply) => {
      const path = files.pathOf(digest);
      const size = await stat(path).then(
        (entry) => entry.size,
        (cause: unknown) => {
          throw new CodedError('NOT_FOUND', `no artifact with digest ${digest}`, { cause });
        },
      );
      const etag = `"${digest}"`;
      reply.headers({
        etag,
        'accept-ranges': 'bytes',
        'cache-control': 'private, max-age=31536000, immutable',
        'content-type': 'application/octet-stream',
      });
      if (headers['if-none-match'] === etag) return reply.code(304).send();
      // A range of another version of the file is no use: then the whole file comes [RFC 9110 13.1.5].
      const wanted =
        headers['if-range'] === undefined || headers['if-range'] === etag ? headers.range : undefined;
      const range = parseRange(wanted, size);
      if (range === 'unsatisfiable') {
        reply.header('content-range', `bytes */${size}`).header('content-type', 'application/json');
        throw new CodedError(
          'RANGE_INVALID',
          `range "${headers.range}" begins behind the ${size} bytes of the artifact`,
        );
      }
      const { first, last } = range ?? { first: 0, last: size - 1 };
      reply.header('content-length', last - first + 1);
      if (range !== null) reply.code(206).header('content-range', `bytes ${first}-${last}/${size}`);
      return reply.send(createReadStream(path, { start: first, end: Math.max(first, last) }));
    },
  });
}

export interface UploadLimits {
  readonly bytesAtMost: number;
  /** Length of the whole as its sender told it; undefined when it did not. */
  readonly announcedBytes?: number;
}

/**
 * Streams an upload into the content store. Until it is whole it lies in the incoming folder, so
 * a broken upload leaves nothing behind. One that says that it will not fit is not begun with: it
 * must not take the last free byte from the database.
 *
 * A refused upload is read to its end and forgotten: a sender that is still writing when its
 * connection is torn down sees a reset and not the answer.
 * @throws MESSAGE_TOO_LARGE above `bytesAtMost`, DISK_FULL
 */
export async function receiveUpload(
  body: Readable,
  files: FileContentStore,
  incomingFolder: string,
  { bytesAtMost, announcedBytes }: UploadLimits,
): Promise<Upload> {
  const path = join(incomingFolder, randomUUID());
  const write = { path, what: 'the upload', neededBytes: announcedBytes };
  try {
    if (announcedBytes !== undefined) await requireSpace({ ...write, neededBytes: announcedBytes });
    return await orDiskFull(write, async () => {
      const bytes = await writeBody(body, path, bytesAtMost);
      return { digest: await files.putFile(path), bytes };
    });
  } catch (error) {
    body.on('error', () => {}).resume();
    throw error;
  } finally {
    await rm(path, { force: true });
  }
}

/** Writes a stream to a new file, and leaves the stream open when that fails. @returns its length */
async function writeBody(body: Readable, path: string, bytesAtMost: number): Promise<number> {
  const file: FileHandle = await open(path, 'wx', 0o600);
  try {
    let bytes = 0;
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesAtMost)
        throw new CodedError('MESSAGE_TOO_LARGE', `upload of more than ${bytesAtMost} bytes`);
      await file.appendFile(chunk);
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/**
 * The length that a request tells beforehand. A stream of unknown framing cannot have a
 * Content-Length, but its sender may know the length all the same.
 */
function announcedBytes(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['content-length'] ?? headers[uploadLengthHeader];
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}
