import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { PolicyOrder, parseAs } from '@fleetlora/shared/protocol';
import { readJsonFile, writeJsonFile } from '../folder/index.js';

/**
 * The policies that were in force when the agent last ran, so that they hold before the
 * coordinator can be asked; none when it never told any.
 * @throws STATE_CONFLICT when the file was changed by hand
 */
export async function readPolicyFile(path: string): Promise<PolicyOrder> {
  const value = await readJsonFile(path);
  if (value === null) return { policies: [] };
  try {
    return parseAs(PolicyOrder, value, path);
  } catch (cause) {
    throw new CodedError(
      'STATE_CONFLICT',
      `${path} holds no policies (${messageOf(cause)}); delete it, and the coordinator tells them again`,
      { cause },
    );
  }
}

/** Keeps the policies over restarts and power cuts. */
export function writePolicyFile(path: string, order: PolicyOrder): Promise<void> {
  return writeJsonFile(path, order);
}
