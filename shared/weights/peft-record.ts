import type { ModuleName } from '../graph/model-shape.js';
import { modulePaths } from './module-paths.js';
import type { AdapterFacts } from './package-plan.js';
import type { TensorFile } from './tensor-file.js';

/** How a module of one layer stood in the PEFT adapter that a super-adapter was imported from. */
export interface PeftModule {
  /** 0 where the layer was left out. */
  readonly rank: number;
  /** What B·A was multiplied by. */
  readonly scale: number;
}

/** What an import changes of a PEFT adapter and an export changes back. */
export interface PeftRecord {
  readonly dtype: 'F32' | 'F16' | 'BF16';
  /** By `layers.i.m`; modules that are not here have rankMax and alpha / rankMax. */
  readonly modules: Readonly<Record<string, PeftModule>>;
}

/** Characters of a record: 128 layers of seven modules take about 50 KB. */
const MAX_RECORD = 256 * 1024;

export const peftKey = (layer: number, module: ModuleName): string => `layers.${layer}.${module}`;

/** Path of a module as PEFT's patterns name it. */
export const peftPath = (layer: number, module: ModuleName): string =>
  `layers.${layer}.${modulePaths[module]}`;

/** The text of a record for a file's metadata. */
export function encodePeftRecord({ dtype, modules }: PeftRecord): string {
  const short = Object.entries(modules).map(([key, { rank, scale }]) => [key, [rank, scale]]);
  return JSON.stringify({ dtype, modules: Object.fromEntries(short) });
}

/**
 * The record of a super-adapter file; of one that was not imported, or whose record cannot be read,
 * null: it says how the factors once were, nothing computes with it.
 */
export function readPeftRecord(file: TensorFile, { rankMax }: AdapterFacts): PeftRecord | null {
  let value: unknown;
  try {
    const { peft: text = 'null' } = file.metadata;
    value = text.length > MAX_RECORD ? null : JSON.parse(text);
  } catch {
    return null;
  }
  const { dtype, modules } = (value ?? {}) as { dtype?: unknown; modules?: unknown };
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') return null;
  if (typeof modules !== 'object' || modules === null) return null;
  const read: Record<string, PeftModule> = {};
  for (const [key, entry] of Object.entries(modules)) {
    const [rank, scale] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (!Number.isInteger(rank) || (rank as number) < 0 || (rank as number) > rankMax) return null;
    if (typeof scale !== 'number' || !Number.isFinite(scale) || scale <= 0) return null;
    read[key] = { rank: rank as number, scale };
  }
  return { dtype, modules: read };
}
