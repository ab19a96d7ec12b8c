import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { writeFileDurably } from '@fleetlora/shared/node';
import { answerParent, preferAsVictim } from '../child/index.js';
import { layStandardModel } from './standard-model.js';

/**
 * Process that writes the standard model's files into a folder: a second of computing and 160 MB,
 * which the agent itself shall not spend. Answers the digests of what it wrote.
 */
answerParent(async (request) => {
  const { folder, base, adapter } = request as { folder: string; base: string; adapter: string };
  await preferAsVictim(1000);
  const laid = await layStandardModel();
  await writeFileDurably(join(folder, base), laid.base);
  await writeFileDurably(join(folder, adapter), laid.adapter);
  return { base: digestOf(laid.base), adapter: digestOf(laid.adapter) };
});

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
