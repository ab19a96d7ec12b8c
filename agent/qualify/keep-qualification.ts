import { stat } from 'node:fs/promises';
import { parseAs, Qualification } from '@fleetlora/shared/protocol';
import { readJsonFile, writeJsonFile } from '../folder/index.js';

/** The last qualification of a data folder, and when it was kept by this device's clock. */
export interface KeptQualification {
  readonly qualification: Qualification;
  readonly keptAtMs: number;
}

/** Keeps a qualification in the place of the one before. */
export function keepQualification(path: string, qualification: Qualification): Promise<void> {
  return writeJsonFile(path, qualification);
}

/**
 * The last qualification; null when there was none, or the file holds none that this release
 * understands: it is made again in a minute.
 */
export async function readKeptQualification(path: string): Promise<KeptQualification | null> {
  try {
    const value = await readJsonFile(path);
    if (value === null) return null;
    return {
      qualification: parseAs(Qualification, value, path),
      keptAtMs: (await stat(path)).mtimeMs,
    };
  } catch {
    return null;
  }
}
