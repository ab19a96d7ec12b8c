import { buildPackage, expandPackage } from '@fleetlora/shared/engine';
import { createNodeRuntime, openFileSource, writeFileDurably } from '@fleetlora/shared/node';
import { decodeGenome } from '@fleetlora/shared/space/genome';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import { answerParent, preferAsVictim } from '../child/index.js';
import type { PreparationRequest } from './prepare-merged.js';

/**
 * Process that builds a merged candidate's package, as a release would ship it, and expands it to
 * the file that sessions map. Answers { shippedBytes }.
 */
answerParent(async (request) => {
  const { baseFile, adapterFile, genome, baseDigest, adapterDigest, expandedFile } =
    request as PreparationRequest;
  await preferAsVictim(1000);
  const base = await openFileSource(baseFile);
  const adapter = await openFileSource(adapterFile);
  const bytes = await buildPackage(createNodeRuntime(), {
    base: await readTensorFile(base),
    adapter: await readTensorFile(adapter),
    genome: decodeGenome(genome),
    baseDigest,
    adapterDigest,
  });
  const expanded = await expandPackage(await readTensorFile(bufferSource(bytes)));
  await writeFileDurably(expandedFile, expanded);
  return { shippedBytes: bytes.length };
});
