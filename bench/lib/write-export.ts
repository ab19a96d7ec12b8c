import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ExportFile } from '@fleetlora/shared/weights';

/** Writes the files of an export into a folder. */
export async function writeExport(files: readonly ExportFile[], folder: string): Promise<void> {
  for (const { path, write } of files) {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    const handle = await open(target, 'w');
    try {
      await write({ write: async (bytes) => void (await handle.writeFile(bytes)) });
    } finally {
      await handle.close();
    }
  }
}
