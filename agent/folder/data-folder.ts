import { chmod, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { makeFolder, writeFileDurably } from '@fleetlora/shared/node';

/** Where the agent keeps what; every path is absolute. */
export interface DataFolder {
  readonly root: string;
  /** P-256 private key, PKCS #8 PEM, mode 0600. */
  readonly keyFile: string;
  /** Who this device is and which coordinator it belongs to. */
  readonly deviceFile: string;
  /** Number of the last connection. */
  readonly sessionFile: string;
  /** Installed and wanted release. */
  readonly installFile: string;
  /** When this device may measure, as the coordinator last told. */
  readonly policyFile: string;
  /** Whether this device was steady when it was last asked. */
  readonly qualificationFile: string;
  /** Where a running agent serves; gone after a clean stop. */
  readonly endpointFile: string;
  readonly lock: string;
  /** Blobs named by their digest: also the weight folder of every session. */
  readonly content: string;
  /** Downloads under way. */
  readonly partial: string;
  /** Files of merged candidates while they are measured. */
  readonly scratch: string;
  readonly outbox: string;
}

/**
 * Makes the data folder (mode 0700) and its parts. What a killed measurement left in the scratch
 * folder stays until `sweepScratch`, which only the holder of the lock may call.
 */
export async function openDataFolder(root: string): Promise<DataFolder> {
  const folder = describeDataFolder(root);
  await makeFolder(root);
  await chmod(root, 0o700);
  for (const part of [folder.lock, folder.content, folder.partial, folder.scratch, folder.outbox])
    await makeFolder(part);
  return folder;
}

/** The paths of a data folder, whether it exists or not. */
export function describeDataFolder(root: string): DataFolder {
  return {
    root,
    keyFile: join(root, 'device-key.pem'),
    deviceFile: join(root, 'device.json'),
    sessionFile: join(root, 'session.json'),
    installFile: join(root, 'install.json'),
    policyFile: join(root, 'policy.json'),
    qualificationFile: join(root, 'qualification.json'),
    endpointFile: join(root, 'endpoint.json'),
    lock: join(root, 'lock'),
    content: join(root, 'content'),
    partial: join(root, 'partial'),
    scratch: join(root, 'scratch'),
    outbox: join(root, 'outbox'),
  };
}

/** Removes what a killed measurement left. Call it as the holder of the folder's lock. */
export async function sweepScratch(folder: DataFolder): Promise<void> {
  await rm(folder.scratch, { recursive: true, force: true });
  await makeFolder(folder.scratch);
}

/**
 * The JSON value of a file, null when there is none.
 * @throws STATE_CONFLICT when the file is not JSON: files are renamed whole, so someone edited it
 */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CodedError('STATE_CONFLICT', `${path} is not JSON; it was changed by hand`, { cause });
  }
}

/** Writes a JSON value so that a reader sees the old file or the whole new one. */
export async function writeJsonFile(path: string, value: unknown): Promise<void> {
  await writeFileDurably(path, new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`));
}
