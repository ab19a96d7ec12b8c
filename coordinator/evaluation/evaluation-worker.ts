/** Entry of an evaluation thread: answers one request at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { createNodeRuntime, stoppableRuntime } from '@fleetlora/shared/node';
import type { WorkerReply, WorkerRequest, WorkerSettings } from './ports.js';
import { createRowScoring } from './row-scoring.js';

const port = parentPort;
if (!port) throw new Error('evaluation-worker.js runs as a worker thread only');

const settings = workerData as WorkerSettings;
const scoring = createRowScoring(stoppableRuntime(createNodeRuntime(), settings.stop), settings);

port.on('message', async ({ id, request }: WorkerRequest) => {
  let reply: WorkerReply;
  try {
    reply = { id, scores: await scoring.score(request) };
  } catch (error) {
    reply = { id, error: { code: isCoded(error) ? error.code : 'CHILD_FAILED', message: messageOf(error) } };
  }
  port.postMessage(reply);
});
