import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { type ModelFiles, placeBeside } from '../model/index.js';
import type { Verdict } from './explain-child.js';
import type { InspectedCandidate } from './inspect-task.js';
import type { JobPasses } from './job-passes.js';
import type { MeasureTask } from './measure-task.js';
import { prepareMerged } from './prepare-merged.js';

export interface LaidFiles {
  readonly files: Omit<ModelFiles, 'genome'>;
  /** Of the package that was built; null where nothing was. */
  readonly shippedBytes: number | null;
}

/**
 * Files as sessions map them: those of the device, or for a merged candidate its expanded package
 * beside the base, in the scratch folder.
 * @throws DISK_FULL when the scratch folder finds no space
 */
export async function layOutFiles(
  { folder, base, adapter, scratch, baseDigest, adapterDigest }: MeasureTask,
  { text, genome }: InspectedCandidate,
  passes: JobPasses,
): Promise<LaidFiles | Verdict> {
  if (genome.form === 'unmerged') return { files: { folder, base, overlay: adapter }, shippedBytes: null };
  const request = {
    baseFile: join(folder, base),
    adapterFile: join(folder, adapter),
    genome: text,
    baseDigest,
    adapterDigest,
    expandedFile: join(scratch, 'expanded'),
  };
  passes.tell('merging');
  const preparing = await passes.run('merging', (child) =>
    prepareMerged(request, { ...child, entry: passes.entries.preparation }),
  );
  if (preparing.kind === 'threw' && preparing.code === 'DISK_FULL')
    throw new CodedError('DISK_FULL', preparing.message);
  const prepared = passes.answerOf(preparing, 'merging');
  if ('outcome' in prepared) return prepared;
  await placeBeside(join(folder, base), join(scratch, 'base'));
  return {
    files: { folder: scratch, base: 'base', overlay: 'expanded' },
    shippedBytes: prepared.shippedBytes,
  };
}
