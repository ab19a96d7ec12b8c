import { readJsonFile, writeJsonFile } from '../folder/index.js';

/**
 * The next connection's number, one above all before it, over restarts too: a death message
 * counts only for its own number, and clocks of devices are no source of order.
 */
export async function nextSessionNumber(path: string): Promise<number> {
  const value = (await readJsonFile(path)) as { number?: unknown } | null;
  const last = Number.isSafeInteger(value?.number) ? (value?.number as number) : 0;
  await writeJsonFile(path, { number: last + 1 });
  return last + 1;
}
