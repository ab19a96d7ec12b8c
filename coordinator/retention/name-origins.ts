import { openFileSource } from '@fleetlora/shared/node';
import type { Garbage } from '@fleetlora/shared/protocol';
import { readTensorFile } from '@fleetlora/shared/weights';
import type { NamedContent } from './ports.js';

/**
 * The same things, the weights that a base was imported from called so: they are the largest files
 * that no record names, and the base's own file tells their digest.
 * @param pathOf where a stored file lies
 */
export async function nameOrigins(
  items: readonly Garbage[],
  named: readonly NamedContent[],
  pathOf: (digest: string) => string,
): Promise<Garbage[]> {
  if (!items.some(({ kind }) => kind === 'artifact')) return [...items];
  const origins = new Map<string, string>();
  for (const { digest, by } of named) {
    if (!by.startsWith('base ')) continue;
    const source = await readSourceDigest(pathOf(digest));
    if (source !== undefined) origins.set(source, by);
  }
  return items.map((item) => {
    const base = item.kind === 'artifact' ? origins.get(item.id) : undefined;
    return base === undefined ? item : { ...item, what: `weights that ${base} was imported from` };
  });
}

/** Undefined when the file is no base, such as its tokenizer. */
async function readSourceDigest(path: string): Promise<string | undefined> {
  try {
    const source = await openFileSource(path);
    try {
      return (await readTensorFile(source)).metadata.sourceDigest;
    } finally {
      await source.close();
    }
  } catch {
    return undefined;
  }
}
