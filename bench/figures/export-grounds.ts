import { join } from 'node:path';
import type { WeightFile } from '@fleetlora/shared/graph';
import { createRandom } from '@fleetlora/shared/random';
import type { Runtime } from '@fleetlora/shared/runtime';
import { type Genome, type LayerGenome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
import { readAdapterFacts } from '@fleetlora/shared/weights';
import { type PreparedBase, prepareAdapter, prepareBase } from '../lib/prepare-model.js';
import { type RandomModel, writeRandomModel } from '../lib/random-hf-model.js';

/** A base with its super-adapter, and the Hugging Face folder that it was imported from. */
export interface ExportGround {
  readonly runtime: Runtime;
  readonly prepared: PreparedBase;
  readonly adapter: WeightFile;
  readonly modelFolder: string;
  /** Exports are written below it. */
  readonly workFolder: string;
}

export async function openGround(
  runtime: Runtime,
  folders: { readonly model: string; readonly adapter: string; readonly work: string },
): Promise<ExportGround> {
  const prepared = await prepareBase(folders.model, join(folders.work, 'weights'));
  const adapter = await prepareAdapter(folders.adapter, prepared);
  return { runtime, prepared, adapter, modelFolder: folders.model, workFolder: folders.work };
}

/** A random model, written and imported below `folder`. */
export async function openRandomGround(
  runtime: Runtime,
  name: RandomModel,
  folder: string,
): Promise<ExportGround> {
  const { base, adapter } = await writeRandomModel(folder, name);
  return openGround(runtime, { model: base, adapter, work: folder });
}

/** Prompts of a random model, `count` of `length` tokens each. */
export function randomPrompts(vocab: number, count: number, length: number): number[][] {
  const random = createRandom(5);
  return Array.from({ length: count }, () => Array.from({ length }, () => 1 + random.below(vocab - 1)));
}

/** Names of the candidates that every model is exported as. */
export const candidateNames = {
  whole: 'whole, one rank',
  mixed: 'whole, mixed ranks, some 0',
  unequal: 'unequal widths and heads, a layer left out',
  merged: 'merged, unequal widths',
  narrow: 'every layer narrower and with fewer heads',
} as const;
export type CandidateName = keyof typeof candidateNames;

/** Candidates that differ in every way that an export must write down. */
export function exportCandidates({ prepared, adapter }: ExportGround): Record<CandidateName, Genome> {
  const { layers, ffnWidth, kvHeads } = prepared.shape;
  const { rankMax } = readAdapterFacts(adapter.file);
  const byLayer = (make: (layer: number) => LayerGenome, form: Genome['form'] = 'unmerged'): Genome => ({
    form,
    layers: Array.from({ length: layers }, (_, layer) => make(layer)),
  });
  const ranks = (...choices: number[]) => {
    const [qkv = 0, o = 0, gateUp = 0, down = 0] = choices.map((part) => Math.floor(rankMax / part) || 0);
    return { qkv, o, gateUp, down };
  };
  const mixed = (layer: number) =>
    layer % 2 === 0 ? ranks(1, 4, 2, 8) : ranks(8, Number.POSITIVE_INFINITY, 4, 1);
  const narrow = (layer: number): number =>
    layer % 3 === 0 ? ffnWidth : layer % 3 === 1 ? (ffnWidth * 3) / 4 : ffnWidth / 2;
  return {
    whole: uniformGenome(layers, rankMax, ffnWidth),
    mixed: byLayer((layer) => ({ ranks: mixed(layer), width: ffnWidth })),
    unequal: byLayer((layer) =>
      layer === 2
        ? skippedLayer
        : {
            ranks: mixed(layer),
            width: narrow(layer + 1),
            ...(layer % 4 === 1 && kvHeads > 1 && { kvHeads: kvHeads - 1 }),
          },
    ),
    merged: byLayer((layer) => ({ ranks: mixed(layer), width: narrow(layer) }), 'merged'),
    narrow: byLayer((layer) => ({
      ranks: mixed(layer),
      width: ffnWidth / 2,
      kvHeads: Math.max(1, kvHeads - 1 - (layer % 2)),
    })),
  };
}
