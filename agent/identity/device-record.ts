import { createPublicKey } from 'node:crypto';
import { CodedError } from '@fleetlora/shared/errors';
import { isDeviceId } from '@fleetlora/shared/protocol';
import { type DataFolder, readJsonFile } from '../folder/index.js';
import { writeSecretFile } from './secret-file.js';

/** Who this device is, as its coordinator told it when it enrolled. */
export interface DeviceRecord {
  readonly deviceId: string;
  readonly deviceClass: string;
  /** HTTP address of the coordinator. */
  readonly url: string;
  readonly mqttUrl: string;
  /** Ed25519 SPKI DER, base64: releases signed by any other key are refused for good. */
  readonly releaseKey: string;
}

/** The record, null before enrolment. @throws STATE_CONFLICT when the file was changed by hand */
export async function readDeviceRecord(folder: DataFolder): Promise<DeviceRecord | null> {
  const value = await readJsonFile(folder.deviceFile);
  if (value === null) return null;
  const record = value as Partial<Record<keyof DeviceRecord, unknown>>;
  const fields = ['deviceId', 'deviceClass', 'url', 'mqttUrl', 'releaseKey'] as const;
  const missing = fields.find((field) => typeof record[field] !== 'string');
  if (missing || !isDeviceId(String(record.deviceId)))
    throw new CodedError(
      'STATE_CONFLICT',
      `${folder.deviceFile} has no valid ${missing ?? 'deviceId'}; enrol again`,
    );
  checkReleaseKey(String(record.releaseKey));
  return record as DeviceRecord;
}

export async function writeDeviceRecord(folder: DataFolder, record: DeviceRecord): Promise<void> {
  await writeSecretFile(folder.deviceFile, `${JSON.stringify(record, null, 2)}\n`);
}

/** @throws SIGNATURE_INVALID when the text is not an Ed25519 public key */
export function checkReleaseKey(spkiBase64: string): void {
  let type: string | undefined;
  try {
    type = createPublicKey({
      key: Buffer.from(spkiBase64, 'base64'),
      type: 'spki',
      format: 'der',
    }).asymmetricKeyType;
  } catch (cause) {
    throw new CodedError('SIGNATURE_INVALID', 'the release key is not a public key in SPKI form', { cause });
  }
  if (type !== 'ed25519')
    throw new CodedError('SIGNATURE_INVALID', `the release key is of type ${type}, wanted ed25519`);
}
