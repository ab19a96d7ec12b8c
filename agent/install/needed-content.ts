import { readFile, stat } from 'node:fs/promises';
import { type FileContentStore, openFileSource } from '@fleetlora/shared/node';
import { parseAs, ReleaseManifest, SignedManifest } from '@fleetlora/shared/protocol';
import { MiB } from '@fleetlora/shared/units';
import { readTensorFile } from '@fleetlora/shared/weights';
import type { InstallRecord } from './install-record.js';

/** As much as is ever read as a manifest. */
const MAX_MANIFEST_BYTES = 2 * MiB;

/**
 * Digests of the files that this device cannot do without: of the release that runs, of the one it
 * is to run, and of the base that answers while there is none, its tokenizer included.
 */
export async function listNeededContent(store: FileContentStore, record: InstallRecord): Promise<string[]> {
  const { installed, desired, baseDigest } = record;
  return [
    ...(installed ? [installed.baseDigest, installed.tokenizerDigest, installed.expandedDigest] : []),
    ...(desired ? await filesOfRelease(store, desired.manifestDigest) : []),
    ...(baseDigest === null ? [] : [baseDigest, ...(await tokenizerOf(store, baseDigest))]),
  ];
}

/** The manifest and what it names. One that is not here, or is no manifest, names nothing. */
async function filesOfRelease(store: FileContentStore, manifestDigest: string): Promise<string[]> {
  try {
    if ((await stat(store.pathOf(manifestDigest))).size > MAX_MANIFEST_BYTES) return [manifestDigest];
    const signed = parseAs(
      SignedManifest,
      JSON.parse(await readFile(store.pathOf(manifestDigest), 'utf8')),
      'signed manifest',
    );
    // Its signature is checked where it is installed; a false one would keep a few files for a while.
    const manifest = parseAs(ReleaseManifest, JSON.parse(signed.manifest), 'release manifest');
    return [manifestDigest, manifest.baseDigest, manifest.tokenizerDigest, manifest.packageDigest];
  } catch {
    return [manifestDigest];
  }
}

async function tokenizerOf(store: FileContentStore, baseDigest: string): Promise<string[]> {
  try {
    const source = await openFileSource(store.pathOf(baseDigest));
    try {
      const { tokenizerDigest } = (await readTensorFile(source)).metadata;
      return tokenizerDigest === undefined ? [] : [tokenizerDigest];
    } finally {
      await source.close();
    }
  } catch {
    return [];
  }
}
