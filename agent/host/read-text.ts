import { readdir, readFile } from 'node:fs/promises';

/** What a file of the kernel says, trimmed; null when it is not there or its device does not answer. */
export async function readText(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'latin1')).trim();
  } catch {
    return null;
  }
}

/** The whole number that a file of the kernel says; null when it says none. */
export async function readWhole(path: string): Promise<number | null> {
  const text = await readText(path);
  return text !== null && /^-?\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Names in a folder that match, in the order of their numbers; none when there is no folder. */
export async function listNames(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => pattern.test(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}
