// @ts-check
/** Writes the generated parts of the documentation anew: `npm run docs`. A test compares them. */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { documents, fillBlocks } = await import('../test/dist/lib/doc-blocks.js');

for (const name of documents) {
  const path = join(root, name);
  const before = await readFile(path, 'utf8');
  const after = fillBlocks(before);
  if (after !== before) await writeFile(path, after);
  console.log(`${name}: ${after === before ? 'up to date' : 'written'}`);
}
