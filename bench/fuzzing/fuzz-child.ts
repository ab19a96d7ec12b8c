/** Reads mutants: `node fuzz-child.js READER TASK`, the task as JSON. */
import { fuzzReaders, type ReaderName } from './fuzz-readers.js';
import { type FuzzTask, readMutants } from './read-mutants.js';

const [name, task] = process.argv.slice(2) as [ReaderName, string];
await readMutants(await fuzzReaders[name](), JSON.parse(task) as FuzzTask);
