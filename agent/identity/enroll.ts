import { CodedError } from '@fleetlora/shared/errors';
import { type DeviceFacts, Enrolled, enrolmentBytes, parseAs } from '@fleetlora/shared/protocol';
import type { DataFolder } from '../folder/index.js';
import { parseCoordinatorUrl, postJson } from './coordinator-client.js';
import { loadOrCreateDeviceKey } from './device-key.js';
import { checkReleaseKey, type DeviceRecord, readDeviceRecord, writeDeviceRecord } from './device-record.js';

export interface Enrolment {
  readonly url: string;
  readonly code: string;
  readonly name?: string;
  readonly facts: DeviceFacts;
}

/**
 * Makes this device known to a coordinator: a P-256 key is made here, its public half is sent
 * with a proof of possession and the one-time code, and the coordinator's release key is pinned.
 * @throws STATE_CONFLICT when the folder already belongs to a coordinator, CODE_UNKNOWN,
 *   CODE_EXPIRED, CODE_USED, COORDINATOR_UNREACHABLE
 */
export async function enrollDevice(folder: DataFolder, enrolment: Enrolment): Promise<DeviceRecord> {
  const url = parseCoordinatorUrl(enrolment.url);
  const known = await readDeviceRecord(folder);
  if (known)
    throw new CodedError(
      'STATE_CONFLICT',
      `${folder.root} is already enrolled at ${known.url} as ${known.deviceId}; choose another folder with --data`,
    );
  const key = await loadOrCreateDeviceKey(folder.keyFile);
  const answer = await postJson(url, '/v1/enroll', {
    code: enrolment.code,
    ...(enrolment.name === undefined ? {} : { name: enrolment.name }),
    publicKey: key.publicKey,
    proof: key.sign(enrolmentBytes(enrolment.code, key.publicKey)),
    facts: enrolment.facts,
  });
  const enrolled = parseAs(Enrolled, answer, 'enrolment answer');
  checkReleaseKey(enrolled.releaseKey);
  const record: DeviceRecord = {
    deviceId: enrolled.deviceId,
    deviceClass: enrolled.deviceClass,
    url,
    mqttUrl: enrolled.mqttUrl,
    releaseKey: enrolled.releaseKey,
  };
  await writeDeviceRecord(folder, record);
  return record;
}
