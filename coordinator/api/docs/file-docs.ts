import type { Upload } from '@fleetlora/shared/protocol';
import { digests } from './example-names.js';
import { exampleOf, type RawParts, type RouteDoc } from './route-doc.js';

const bytes = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
const header = (description: string, example: string) => ({
  description,
  schema: { type: 'string' },
  example,
});
const about = { ETag: header('The digest in quotes.', `"${digests.base}"`) };

const download: RawParts = {
  headers: [
    {
      name: 'Range',
      description: 'A part of the file, to go on with a download.',
      example: 'bytes=1048576-',
    },
    {
      name: 'If-Range',
      description: 'The ETag: with another one the whole file comes.',
      example: `"${digests.base}"`,
    },
    {
      name: 'If-None-Match',
      description: 'The ETag of a file that is there already.',
      example: `"${digests.base}"`,
    },
  ],
  responses: {
    200: { description: 'The whole file.', headers: about, content: bytes },
    206: {
      description: 'The part that was asked for.',
      headers: {
        ...about,
        'Content-Range': header('Which bytes these are, of how many.', 'bytes 1048576-30408703/30408704'),
      },
      content: bytes,
    },
    304: { description: 'The file is there already.', headers: about },
  },
};

export const fileDocs = {
  upload: {
    tag: 'files',
    summary: 'Store a file under its SHA-256',
    description:
      'Takes the bytes as they are and answers with the digest by which imports name them. A broken upload ' +
      'leaves nothing behind; one that was stored before is stored once.',
    commands: ['base import', 'train', 'adapter import', 'adapter tune', 'dataset import'],
    answer: exampleOf<Upload>({ digest: digests.weights, bytes: 30_408_704 }),
    errors: { BAD_REQUEST: 'upload of type application/json, wanted application/octet-stream' },
    raw: {
      headers: [
        {
          name: 'Upload-Length',
          description:
            'Bytes that will come, of a sender without Content-Length: what does not fit on the disk is refused at once.',
          example: '30408704',
        },
      ],
      requestBody: { required: true, content: bytes },
    },
  },
  artifact: {
    tag: 'files',
    summary: 'A stored file, whole or in part',
    description:
      'Devices fetch bases, adapters, packages and manifests here, and go on where a broken download ended. ' +
      '`HEAD` answers with the headers alone.',
    commands: ['train', 'adapter export', 'adapter tune'],
    params: { digest: 'SHA-256 of the file.' },
    errors: {
      NOT_FOUND: `no artifact with digest ${digests.base}`,
      RANGE_INVALID: 'range "bytes=40000000-" begins behind the 30408704 bytes of the artifact',
    },
    raw: download,
  },
} as const satisfies Record<string, RouteDoc>;
