import { CodedError, type ErrorCode } from '@fleetlora/shared/errors';
import { type FileContentStore, type FileSource, openFileSource } from '@fleetlora/shared/node';
import { KiB, MiB } from '@fleetlora/shared/units';
import { readTensorFile, type TensorFile } from '@fleetlora/shared/weights';

/** Ceilings on JSON files that are parsed whole, each several times what real models need. */
export const jsonCeilings = {
  config: 512 * KiB,
  channelOrder: 64 * MiB,
  tokenizer: 64 * MiB,
  /** Lists every added token again. */
  tokenizerConfig: 16 * MiB,
} as const;

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
 * @throws `code` when it is larger than `ceiling` bytes or not JSON
 */
export async function readStoredJson(
  store: FileContentStore,
  digest: string,
  what: string,
  options: { readonly ceiling: number; readonly code: ErrorCode },
): Promise<unknown> {
  const text = await readStoredText(store, digest, what, options);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CodedError(options.code, `${what} is not JSON`, { cause });
  }
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
  const bytes = await withSource(store, digest, async (source) => {
    if (source.size > options.ceiling)
      throw new CodedError(
        options.code,
        `${what} has ${source.size} bytes, at most ${options.ceiling} are allowed`,
      );
    return source.read(0, source.size);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CodedError(options.code, `${what} is not UTF-8 text`, { cause });
  }
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
