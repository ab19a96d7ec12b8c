import { rm } from 'node:fs/promises';
import { buildPackage, type Decoder, expandPackage, openDecoder } from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import { readModelShape, type WeightFile } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { GoldenPrompt } from '@fleetlora/shared/protocol';
import type { Runtime } from '@fleetlora/shared/runtime';
import { decodeGenome } from '@fleetlora/shared/space';
import { createTokenizer, type Tokenizer } from '@fleetlora/shared/text';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import { proveGreedily } from './golden-ids.js';
import type { PackageFacts, PackageWork } from './model-work.js';
import { jsonCeilings, readStoredJson, withTensorFile } from './stored-files.js';

/** Tokens of a golden continuation: enough to tell models apart, few enough to check at install. */
const GOLDEN_TOKENS = 16;
/** Token ids of a golden prompt: 64 prompts of this length keep a manifest below its ceiling. */
const GOLDEN_PROMPT_TOKENS = 256;

/**
 * Packages a candidate, stores the package, and has the expanded package answer golden prompts:
 * the very file a device makes of it, so what it will be held to was seen here.
 * @throws BAD_REQUEST when no prompt gives a usable continuation
 */
export async function packageCandidate(
  runtime: Runtime,
  store: FileContentStore,
  work: PackageWork,
): Promise<PackageFacts> {
  const genome = decodeGenome(work.genome);
  const tokenizer = createTokenizer(
    await readStoredJson(store, work.tokenizerDigest, 'tokenizer.json', {
      ceiling: jsonCeilings.tokenizer,
      code: 'TOKENIZER',
    }),
  );
  return withTensorFile(store, work.baseDigest, async (base) => {
    const bytes = await withTensorFile(store, work.adapterDigest, (adapter) =>
      buildPackage(runtime, {
        base,
        adapter,
        genome,
        baseDigest: work.baseDigest,
        adapterDigest: work.adapterDigest,
      }),
    );
    const expanded = await expandPackage(await readTensorFile(bufferSource(bytes)));
    const decode = (overlay: WeightFile): Promise<Decoder> =>
      openDecoder(
        runtime,
        {
          folder: store.folder,
          base: { fileName: work.baseDigest, file: base },
          overlay,
          genome,
        },
        {
          threads: 1,
          positions: Math.min(readModelShape(base).positions, GOLDEN_PROMPT_TOKENS + GOLDEN_TOKENS),
          weights: 'mapped',
        },
      );
    const golden = await withExpanded(store, expanded, async (overlay) => {
      const decoder = await decode(overlay);
      try {
        return await answerPrompts(decoder, tokenizer, work);
      } finally {
        await decoder.close();
      }
    });
    return { digest: await store.put(bytes), bytes: bytes.length, golden };
  });
}

/** Sessions map files of the content folder, so the expanded package lies there while it is used. */
async function withExpanded<T>(
  store: FileContentStore,
  expanded: Uint8Array,
  use: (overlay: WeightFile) => Promise<T>,
): Promise<T> {
  const digest = await store.put(expanded);
  try {
    return await withTensorFile(store, digest, (file) => use({ fileName: digest, file }));
  } finally {
    await rm(store.pathOf(digest), { force: true });
  }
}

async function answerPrompts(
  decoder: Decoder,
  tokenizer: Tokenizer,
  work: PackageWork,
): Promise<GoldenPrompt[]> {
  const golden: GoldenPrompt[] = [];
  const longest = Math.min(GOLDEN_PROMPT_TOKENS, decoder.positions - 1);
  for (const text of work.prompts) {
    if (golden.length === work.goldenCount) break;
    const promptIds = tokenizer.encode(text);
    if (promptIds.length === 0 || promptIds.length > longest) continue;
    const expectedIds = await proveGreedily(decoder, promptIds, {
      maxTokens: GOLDEN_TOKENS,
      stopIds: work.stopIds,
    });
    if (expectedIds.length > 0) golden.push({ text, promptIds, expectedIds });
  }
  if (golden.length === 0)
    throw new CodedError(
      'BAD_REQUEST',
      `none of ${work.prompts.length} golden prompts has 1 to ${longest} tokens and a clear first answer token`,
    );
  return golden;
}
