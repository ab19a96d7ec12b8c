import { expandPackage } from '@fleetlora/shared/engine';
import { createFileContentStore, openFileSource } from '@fleetlora/shared/node';
import { readTensorFile } from '@fleetlora/shared/weights';
import { answerParent, preferAsVictim } from '../child/index.js';
import { checkPackage, type ExpansionRequest } from './expand-package.js';

/** Process that checks a package and expands it into the content store. Answers { expandedDigest }. */
answerParent(async (request) => {
  const { contentFolder, packageDigest, genome, baseDigest } = request as ExpansionRequest;
  await preferAsVictim(1000);
  const store = await createFileContentStore(contentFolder);
  const source = await openFileSource(store.pathOf(packageDigest));
  const file = await readTensorFile(source);
  checkPackage(file.metadata, { genome, baseDigest });
  return { expandedDigest: await store.put(await expandPackage(file)) };
});
