import { readFile, stat } from 'node:fs/promises';
import { CodedError } from '@fleetlora/shared/errors';

/** Largest file that is read as a manifest: its text, escaped, and the signature around it. */
const MAX_MANIFEST_BYTES = 2 * 1024 * 1024;

/** The text of a downloaded manifest. @throws MESSAGE_TOO_LARGE */
export async function readManifestText(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MAX_MANIFEST_BYTES)
    throw new CodedError(
      'MESSAGE_TOO_LARGE',
      `the manifest has ${size} bytes, at most ${MAX_MANIFEST_BYTES} are allowed`,
    );
  return readFile(path, 'utf8');
}
