import { readModelShape } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { AdapterExported } from '@fleetlora/shared/protocol';
import { decodeGenome, encodeGenome, type Genome, uniformGenome } from '@fleetlora/shared/space';
import { chatSourceOf } from '@fleetlora/shared/text';
import {
  type ExportFile,
  openExport,
  planExport,
  planWholePeft,
  readAdapterFacts,
  type TensorFile,
} from '@fleetlora/shared/weights';
import type { ExportWork } from './model-work.js';
import { jsonCeilings, readStoredText, withTensorFile } from './stored-files.js';

/**
 * Stores the files of a candidate's export. They are named by no record: a collection of garbage
 * removes them once they are older than what it spares.
 * @throws GENOME_OUTSIDE_SPACE, and the errors of planExport
 */
export async function exportCandidate(store: FileContentStore, work: ExportWork): Promise<AdapterExported> {
  return withTensorFile(store, work.baseDigest, (base) =>
    withTensorFile(store, work.adapterDigest, async (adapter) => {
      const genome = work.genome === null ? wholeGenome(adapter) : decodeGenome(work.genome);
      const planned =
        work.genome === null && work.as === 'peft'
          ? await planWholePeft(base, adapter, work.dtype)
          : await planCandidate(store, work, { base, adapter, genome });
      const files: AdapterExported['files'] = [];
      for (const { path, write } of planned) {
        const writer = await store.begin();
        try {
          await write(writer);
          files.push({ path, bytes: writer.bytes, digest: await writer.finish() });
        } finally {
          await writer.discard();
        }
      }
      return { genome: encodeGenome(genome), files };
    }),
  );
}

/** The candidate that is all of a super-adapter. */
function wholeGenome(adapter: TensorFile): Genome {
  const { layers, ffnWidth } = readModelShape(adapter);
  return uniformGenome(layers, readAdapterFacts(adapter).rankMax, ffnWidth);
}

async function planCandidate(
  store: FileContentStore,
  work: ExportWork,
  files: { readonly base: TensorFile; readonly adapter: TensorFile; readonly genome: Genome },
): Promise<ExportFile[]> {
  const { metadata } = files.base;
  // Fits or not, before a tokenizer of many megabytes is read.
  const source = await openExport(files);
  const text = await readStoredText(store, work.tokenizerDigest, 'tokenizer.json', {
    ceiling: jsonCeilings.tokenizer,
    code: 'TOKENIZER',
  });
  return planExport(source, {
    kind: work.as,
    dtype: work.dtype,
    name: work.name,
    tokenizer: {
      bytes: new TextEncoder().encode(text),
      json: JSON.parse(text),
      chat: chatSourceOf(metadata),
      stopIds: JSON.parse(metadata.stopIds ?? '[]') as number[],
    },
  });
}
