import { writeSync } from 'node:fs';
import { openOutbox } from '@fleetlora/agent/link';

/** Adds messages to the outbox in the folder named by its first argument, and says "added N" after each. */
const [folder = '', count = '0'] = process.argv.slice(2);
let id = 0;
const outbox = await openOutbox({ folder, newId: () => `msg_${++id}` });
for (let i = 1; i <= Number(count); i++) {
  await outbox.add('result', { jobId: `job_${String(i).padStart(10, '0')}`, outcome: 'failed', reason: 'x' });
  writeSync(1, `added ${i}\n`);
}
