/** Stands in for an evaluation thread: ends or hangs as the genome says, else answers with one row. */
import { parentPort } from 'node:worker_threads';

let answered = 0;
parentPort?.on('message', ({ id, request }: { id: number; request: { genome: string } }) => {
  if (request.genome === 'hang') return;
  if (request.genome === 'exit') process.exit(3);
  if (request.genome === 'throw') throw new Error('out of patience');
  const scores = [{ correct: true, nll: ++answered, targets: 1 }];
  parentPort?.postMessage({ id, scores });
});
