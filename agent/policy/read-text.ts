import { readFile } from 'node:fs/promises';

/** What a file of the kernel says, trimmed; null when it is not there or its device does not answer. */
export async function readText(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'latin1')).trim();
  } catch {
    return null;
  }
}
