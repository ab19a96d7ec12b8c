/** Thread entry: does the one piece of model work it was started for, answers and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import {
  createFileContentStore,
  createNodeRuntime,
  type FileContentStore,
  type StopFlag,
  stoppableRuntime,
} from '@fleetlora/shared/node';
import type { Runtime } from '@fleetlora/shared/runtime';
import type { ModelWork, ModelWorkAnswer, ModelWorkResults } from './model-work.js';

const { folder, work, stop } = workerData as { folder: string; work: ModelWork; stop: StopFlag };
parentPort?.postMessage(await answer());

async function answer(): Promise<ModelWorkAnswer> {
  try {
    return { ok: true, result: await perform(await createFileContentStore(folder)) };
  } catch (error) {
    const known = error instanceof CodedError;
    return {
      ok: false,
      code: known ? error.code : 'BUG',
      message: known ? error.message : String((error as Error).stack ?? messageOf(error)),
    };
  }
}

function runtime(): Runtime {
  return stoppableRuntime(createNodeRuntime(), stop);
}

/** Loads no more than the work needs: a thread of a data import starts without the model code. */
async function perform(store: FileContentStore): Promise<ModelWorkResults[keyof ModelWorkResults]> {
  switch (work.kind) {
    case 'layBase':
      return (await import('./lay-base-files.js')).layBaseFiles(runtime(), store, work);
    case 'quantise':
      return (await import('./quantise-base-file.js')).quantiseBaseFile(store, work);
    case 'pruneBase':
      return (await import('./prune-base-file.js')).pruneBaseFile(runtime(), store, work);
    case 'mergeAdapter':
      return (await import('./merge-adapter-file.js')).mergeAdapterFile(runtime(), store, work);
    case 'readPeft':
      return (await import('./peft-files.js')).readPeftFiles(store, work);
    case 'writePeft':
      return (await import('./peft-files.js')).writePeftFiles(store, work);
    case 'export':
      return (await import('./export-candidate.js')).exportCandidate(store, work);
    case 'package':
      return (await import('./package-candidate.js')).packageCandidate(runtime(), store, work);
    case 'importDataset':
      return (await import('./import-dataset.js')).importDatasetFiles(store, work);
  }
}
