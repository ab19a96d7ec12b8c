import { CodedError } from '@fleetlora/shared/errors';

const INDEX = 'model.safetensors.index.json';

/** What the uploaded files of a base are: a Hugging Face folder, or one GGUF file. */
export type BaseFilesKind = 'huggingFace' | 'gguf';

/**
 * Checks that a base's files are all there, by their names alone.
 * @param files digests by name
 * @throws BAD_REQUEST naming what is missing, or what does not belong together
 */
export function checkBaseFiles(files: Readonly<Record<string, string>>): BaseFilesKind {
  const names = Object.keys(files);
  const ggufs = names.filter((name) => name.endsWith('.gguf'));
  const weights = names.filter((name) => name.endsWith('.safetensors'));
  if (ggufs.length > 0) {
    if (ggufs.length > 1 || weights.length > 0)
      throw new CodedError(
        'BAD_REQUEST',
        `a base is made of one GGUF file or of safetensors, found ${[...ggufs, ...weights].slice(0, 4).join(', ')}`,
      );
    return 'gguf';
  }
  const wanted = ['config.json', files[INDEX] === undefined ? 'model.safetensors' : INDEX, 'tokenizer.json'];
  requireNames(files, wanted);
  return 'huggingFace';
}

/** @throws BAD_REQUEST naming the first of `wanted` that is missing */
export function requireNames(files: Readonly<Record<string, string>>, wanted: readonly string[]): void {
  const missing = wanted.find((name) => files[name] === undefined);
  if (missing !== undefined)
    throw new CodedError(
      'BAD_REQUEST',
      `"${missing}" is missing among ${Object.keys(files).join(', ') || 'no files'}; wanted ${wanted.join(', ')}`,
    );
}
