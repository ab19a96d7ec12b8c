import { readFile } from 'node:fs/promises';
import { openScorer, type RowScore, type WeightFile } from '@fleetlora/shared/engine';
import type { Runtime } from '@fleetlora/shared/runtime';
import type { Genome } from '@fleetlora/shared/space';
import { encodeRow, type TokenRow } from '@fleetlora/shared/text';
import type { PreparedBase } from '../lib/prepare-model.js';

/** One sub-network of the accuracy table: [rank, FFN width] a layer and what was counted. */
export interface TableEntry {
  readonly name?: string;
  readonly genome: readonly (readonly [number, number])[];
  /** Correct rows of the search and report split, mean loss of both. */
  readonly v: readonly [number, number, number, number];
}
interface Table {
  readonly named: readonly TableEntry[];
  readonly random: readonly TableEntry[];
}

export interface TableComparison {
  readonly name: string;
  readonly wanted: readonly [number, number];
  readonly found: readonly [number, number];
  readonly difference: number;
}

/** Banking77 as the table scored it: at most 64 tokens, prompt cut at its start. */
const MAX_TOKENS = 64;

/** Rows of a Banking77 CSV as `Query: {text}\nIntent:` → ` {label with spaces}` + stop token. */
export async function readBanking77(path: string, prepared: PreparedBase): Promise<TokenRow[]> {
  const records = parseCsv(await readFile(path, 'utf8')).slice(1);
  const stopId = prepared.stopIds[0] ?? 0;
  return records.map(([text = '', label = '']) =>
    encodeRow(
      prepared.tokenizer,
      { prompt: `Query: ${text}\nIntent:`, completion: ` ${label.replaceAll('_', ' ')}` },
      { stopId, maxTokens: MAX_TOKENS },
    ),
  );
}

/** The named entries first, then random ones, `count` in all. */
export async function readTable(path: string, count: number): Promise<TableEntry[]> {
  const { named, random } = JSON.parse(await readFile(path, 'utf8')) as Table;
  return [...named, ...random].slice(0, count);
}

/** Scores table entries with our scorer; a difference is in rows, of the split where it is larger. */
export async function compareTable(
  runtime: Runtime,
  prepared: PreparedBase,
  adapter: WeightFile,
  rows: readonly TokenRow[],
  entries: readonly TableEntry[],
  onEntry: (comparison: TableComparison) => void,
): Promise<TableComparison[]> {
  const scorer = await openScorer(runtime, {
    folder: prepared.folder,
    base: prepared.base,
    adapter,
    threads: 2,
  });
  const comparisons: TableComparison[] = [];
  for (const [index, entry] of entries.entries()) {
    const scores = await scorer.score(toGenome(entry), rows);
    const wanted: [number, number] = [entry.v[0], entry.v[1]];
    const found: [number, number] = [countCorrect(scores, 0), countCorrect(scores, 1)];
    const comparison = {
      name: entry.name ?? `random ${index}`,
      wanted,
      found,
      difference: Math.max(Math.abs(found[0] - wanted[0]), Math.abs(found[1] - wanted[1])),
    };
    comparisons.push(comparison);
    onEntry(comparison);
  }
  await scorer.close();
  return comparisons;
}

/** Even rows are the search split, odd ones the report split. */
const countCorrect = (scores: readonly RowScore[], parity: 0 | 1): number =>
  scores.filter((score, row) => row % 2 === parity && score.correct).length;

function toGenome(entry: TableEntry): Genome {
  return {
    form: 'unmerged',
    layers: entry.genome.map(([rank, width]) => ({
      ranks: { qkv: rank, o: rank, gateUp: rank, down: rank },
      width,
    })),
  };
}

/** RFC 4180 fields: quotes double inside quotes, line breaks allowed there. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const match of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    const [whole, quoted, plain = '', end] = match;
    if (whole === '' && row.length === 0) break;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}
