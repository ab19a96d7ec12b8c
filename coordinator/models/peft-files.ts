import { readModelShape } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import {
  bufferSource,
  readModelOrders,
  readPeftAdapter,
  readTensorFile,
  writePeftAdapter,
} from '@fleetlora/shared/weights';
import type { AdapterFileFacts, PeftFacts, ReadPeftWork, WritePeftWork } from './model-work.js';
import { jsonCeilings, readStoredJson, withTensorFile } from './stored-files.js';

/** Turns uploaded PEFT files into a stored super-adapter file over a base. */
export async function readPeftFiles(store: FileContentStore, work: ReadPeftWork): Promise<AdapterFileFacts> {
  const config = await readStoredJson(store, work.configDigest, 'adapter_config.json', {
    ceiling: jsonCeilings.config,
    code: 'ADAPTER_CONFIG',
  });
  const order =
    work.orderDigest === null
      ? undefined
      : await readStoredJson(store, work.orderDigest, 'channel_order.json', {
          ceiling: jsonCeilings.channelOrder,
          code: 'ADAPTER_CONFIG',
        });
  const bytes = await withTensorFile(store, work.baseDigest, (base) =>
    withTensorFile(store, work.weightsDigest, (file) =>
      readPeftAdapter(config, file, { file: base, digest: work.baseDigest }, order, work.masked),
    ),
  );
  return { digest: await store.put(bytes), bytes: bytes.length };
}

/** Stores a super-adapter file and its PEFT export. */
export async function writePeftFiles(store: FileContentStore, work: WritePeftWork): Promise<PeftFacts> {
  const adapter = await readTensorFile(bufferSource(work.adapterFile));
  const exported = await withTensorFile(store, work.baseDigest, async (base) =>
    writePeftAdapter(adapter, await readModelOrders(base, readModelShape(base))),
  );
  const files: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(exported)) files[name] = await store.put(bytes);
  return { digest: await store.put(work.adapterFile), files };
}
