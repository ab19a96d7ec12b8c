import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PartialFile, StoredFile } from './plan-garbage.js';

const DIGEST = /^[0-9a-f]{64}$/;

/** Size and last writing of a file; null when it is gone, or no file. */
export async function readFileFacts(
  path: string,
): Promise<{ readonly bytes: number; readonly usedAtMs: number } | null> {
  const entry = await stat(path).catch(orNull);
  return entry?.isFile() ? { bytes: entry.size, usedAtMs: entry.mtimeMs } : null;
}

/** The stored files of a content folder, and what lies beside them half-written (`*.part`). */
export async function readContentFolder(
  folder: string,
): Promise<{ readonly files: StoredFile[]; readonly partials: PartialFile[] }> {
  const files: StoredFile[] = [];
  const partials: PartialFile[] = [];
  for (const name of await namesIn(folder)) {
    const isStored = DIGEST.test(name);
    if (!isStored && !name.endsWith('.part')) continue;
    const facts = await readFileFacts(join(folder, name));
    if (facts === null) continue;
    if (isStored) files.push({ digest: name, ...facts });
    else partials.push({ path: `content/${name}`, ...facts });
  }
  return { files, partials };
}

/** Uploads under way, or given up. */
export async function readIncomingFolder(folder: string): Promise<PartialFile[]> {
  const partials: PartialFile[] = [];
  for (const name of await namesIn(folder)) {
    const facts = await readFileFacts(join(folder, name));
    if (facts) partials.push({ path: `incoming/${name}`, ...facts });
  }
  return partials;
}

/** The folders in a folder: bytes of the files in each, and when one of them was last written. */
export async function readSubfolders(
  folder: string,
): Promise<{ readonly name: string; readonly bytes: number; readonly usedAtMs: number }[]> {
  const found = [];
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const entry = await stat(path).catch(orNull);
    if (!entry?.isDirectory()) continue;
    let bytes = 0;
    let usedAtMs = entry.mtimeMs;
    for (const file of await namesIn(path)) {
      const facts = await readFileFacts(join(path, file));
      bytes += facts?.bytes ?? 0;
      usedAtMs = Math.max(usedAtMs, facts?.usedAtMs ?? 0);
    }
    found.push({ name, bytes, usedAtMs });
  }
  return found;
}

/** Removes a file or a folder with all that is in it; nothing when it is gone. */
export async function removePath(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(orNull)) ?? [];
}

function orNull(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
  throw error;
}
