import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import type { Scorer } from '@fleetlora/shared/protocol';
import { MiB } from '@fleetlora/shared/units';
import type { LoadedScorer } from './answer-scorer.js';

/** A bundled scorer with its tables; more is no program that one reads. */
const MODULE_BYTES = 4 * MiB;

/**
 * A scorer with the text of its module, which lies in the content folder under its digest.
 * @throws NOT_FOUND when it does not, SCORER_INVALID when it is too large
 */
export async function loadScorer(scorer: Scorer, contentFolder: string): Promise<LoadedScorer> {
  if (scorer.kind !== 'module') return scorer;
  const path = join(contentFolder, scorer.digest);
  let bytes: number;
  try {
    bytes = (await stat(path)).size;
  } catch (cause) {
    throw new CodedError('NOT_FOUND', `scorer module ${scorer.digest} is not in the content folder`, {
      cause,
    });
  }
  if (bytes > MODULE_BYTES)
    throw new CodedError(
      'SCORER_INVALID',
      `the scorer module has ${bytes} bytes, at most ${MODULE_BYTES} are allowed`,
    );
  return { kind: 'module', source: await readFile(path, 'utf8') };
}
