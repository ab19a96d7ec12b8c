/** Thread entry: does the one piece of model work it was started for, answers and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { createFileContentStore, type FileContentStore } from '@fleetlora/shared/node';
import { layBaseFiles } from './lay-base-files.js';
import type { ModelWork, ModelWorkAnswer, ModelWorkResults } from './model-work.js';
import { packageCandidate } from './package-candidate.js';
import { readPeftFiles, writePeftFiles } from './peft-files.js';

const { folder, work } = workerData as { folder: string; work: ModelWork };
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

function perform(store: FileContentStore): Promise<ModelWorkResults[keyof ModelWorkResults]> {
  switch (work.kind) {
    case 'layBase':
      return layBaseFiles(store, work);
    case 'readPeft':
      return readPeftFiles(store, work);
    case 'writePeft':
      return writePeftFiles(store, work);
    case 'package':
      return packageCandidate(store, work);
  }
}
