import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CodedError } from '@fleetlora/shared/errors';

/** The checkout this file was built in: coordinator/dist/cli/demo is four folders below it. */
const root = fileURLToPath(new URL('../../../../', import.meta.url));

/** Where the demo's parts lie in the checkout. */
export const assets = {
  root,
  base: join(root, 'deploy', 'demo', 'base'),
  adapter: join(root, 'deploy', 'demo', 'adapter'),
  space: join(root, 'deploy', 'demo', 'space.json'),
  buildDataset: join(root, 'deploy', 'demo', 'build-dataset.mjs'),
  coordinator: join(root, 'coordinator', 'dist', 'cli', 'main.js'),
  agent: join(root, 'agent', 'dist', 'cli', 'main.js'),
} as const;

/** @throws NOT_FOUND naming the path and what it is for */
export async function requireAsset(path: string, purpose: string): Promise<void> {
  try {
    await access(path);
  } catch (cause) {
    throw new CodedError('NOT_FOUND', `${path} is missing: ${purpose}`, { cause });
  }
}
