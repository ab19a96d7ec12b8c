import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import { Digest, limits, type Upload, Upload as UploadSchema } from '@fleetlora/shared/protocol';
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
      summary: 'Store a file (application/octet-stream) under its SHA-256',
      consumes: ['application/octet-stream'],
      response: creates(UploadSchema),
    },
    handler: async ({ body, headers }, reply) => {
      if (!isStream(body))
        throw new CodedError(
          'BAD_REQUEST',
          `upload of type ${headers['content-type'] ?? 'unknown'}, wanted application/octet-stream`,
        );
      return reply.code(201).send(await receiveUpload(body, files, incomingFolder, limits.uploadBytes));
    },
  });

  // HEAD comes with GET: fastify answers it from the same handler.
  api.route({
    ...routeOf('artifact'),
    schema: {
      summary: 'A stored file by digest, whole or from a byte on (Range)',
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

/**
 * Streams an upload into the content store. Until it is whole it lies in the incoming folder, so
 * a broken upload leaves nothing behind.
 * @throws MESSAGE_TOO_LARGE above `bytesAtMost`
 */
export async function receiveUpload(
  body: Readable,
  files: FileContentStore,
  incomingFolder: string,
  bytesAtMost: number,
): Promise<Upload> {
  const path = join(incomingFolder, randomUUID());
  let bytes = 0;
  async function* counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > bytesAtMost)
        throw new CodedError('MESSAGE_TOO_LARGE', `upload of more than ${bytesAtMost} bytes`);
      yield chunk;
    }
  }
  try {
    await pipeline(body, counted, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
    const digest = await files.putFile(path);
    return { digest, bytes };
  } finally {
    await rm(path, { force: true });
  }
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}
