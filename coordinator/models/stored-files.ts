import { CodedError, type ErrorCode } from '@fleetlora/shared/errors';
import { type FileContentStore, type FileSource, openFileSource } from '@fleetlora/shared/node';
import { KiB, MiB } from '@fleetlora/shared/units';
import { parseJson, readTensorFile, type TensorFile } from '@fleetlora/shared/weights';

/** Ceilings on JSON files that are parsed whole, each several times what real models need. */
export const jsonCeilings = {
  config: 512 * KiB,
  channelOrder: 64 * MiB,
  /** A name of about 60 characters and a file for every tensor. */
  shardIndex: 16 * MiB,
  tokenizer: 64 * MiB,
  /** Lists every added token again. */
  tokenizerConfig: 16 * MiB,
} as const;

/** What such a file nests and holds at most: a vocabulary of 262,144 tokens and its merges are 2 million values. */
const valueCeilings = { depth: 64, values: 2 ** 24 } as const;

/** Runs `use` with a stored weight file and closes it afterwards. @throws NOT_FOUND when it is not stored */
export async function withTensorFile<T>(
  store: FileContentStore,
  digest: string,
  use: (file: TensorFile) => Promise<T>,
): Promise<T> {
  return withSource(store, digest, async (source) => use(await readTensorFile(source)));
}

/**
 * The JSON value of a stored file.
 * @param what names the file in messages
 * @throws `code` when it is larger than `ceiling` bytes, beyond `valueCeilings` or not JSON
 */
export async function readStoredJson(
  store: FileContentStore,
  digest: string,
  what: string,
  options: { readonly ceiling: number; readonly code: ErrorCode },
): Promise<unknown> {
  const bytes = await readStoredBytes(store, digest, what, options);
  return parseJson(bytes, { what, offset: 0, code: options.code }, valueCeilings);
}

/**
 * The text of a stored file.
 * @param what names the file in messages
 * @throws `code` when it is larger than `ceiling` bytes or not UTF-8
 */
export async function readStoredText(
  store: FileContentStore,
  digest: string,
  what: string,
  options: { readonly ceiling: number; readonly code: ErrorCode },
): Promise<string> {
  const bytes = await readStoredBytes(store, digest, what, options);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CodedError(options.code, `${what} is not UTF-8 text`, { cause });
  }
}

async function readStoredBytes(
  store: FileContentStore,
  digest: string,
  what: string,
  { ceiling, code }: { readonly ceiling: number; readonly code: ErrorCode },
): Promise<Uint8Array> {
  return withSource(store, digest, async (source) => {
    if (source.size > ceiling)
      throw new CodedError(code, `${what} has ${source.size} bytes, at most ${ceiling} are allowed`);
    return source.read(0, source.size);
  });
}

async function withSource<T>(
  store: FileContentStore,
  digest: string,
  use: (source: FileSource) => Promise<T>,
): Promise<T> {
  const source = await openFileSource(store.pathOf(digest));
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
