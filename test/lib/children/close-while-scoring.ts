/** Closes evaluation eight times, each time in the middle of a long request; prints how each ended. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEvaluation } from '@fleetlora/coordinator/evaluation';
import { layTinyModel } from '../laid-models.js';

const contentFolder = await mkdtemp(join(tmpdir(), 'fleetlora-test-'));
const { baseDigest, adapterDigest, base, adapter } = await layTinyModel();
await writeFile(join(contentFolder, baseDigest), base);
await writeFile(join(contentFolder, adapterDigest), adapter);
// Seconds of work, in thousands of native runs.
const rows = Array.from({ length: 100_000 }, () => ({
  ids: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  targetStart: 4,
}));
const genome = 'g1:u:4.2.4.1.6/1.4.0.2.8';
for (let round = 0; round < 8; round++) {
  const evaluation = createEvaluation({ contentFolder });
  const warm = { baseDigest, adapterDigest, genome, rows: rows.slice(0, 1) };
  await evaluation.score(warm);
  const outcome = evaluation.score({ ...warm, rows }).then(
    () => 'scored',
    (error: Error) => error.message,
  );
  // The message with the rows is on its way to the thread; the thread is at work when it is asked.
  await evaluation.close();
  console.log(await outcome);
}
await rm(contentFolder, { recursive: true });
