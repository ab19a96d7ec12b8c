import { type Decoder, openDecoder } from '@fleetlora/shared/engine/decoder';
import type { Runtime } from '@fleetlora/shared/runtime';
import { openModel } from '../model/index.js';
import type { PassRequest } from './measure-task.js';

/** Loads a candidate as a device that serves it would, from its headers on. */
export async function loadDecoder(
  runtime: Runtime,
  { files, plan, positions }: PassRequest,
): Promise<Decoder> {
  const opened = await openModel(files);
  try {
    return await openDecoder(runtime, opened.model, { threads: plan.threads, positions });
  } finally {
    // Sessions map the files by themselves.
    await opened.close();
  }
}
