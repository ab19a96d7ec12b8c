import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { createRandom } from '@fleetlora/shared/random';
import {
  createTokenizer,
  encodeRow,
  parseRows,
  type TextRow,
  type Tokenizer,
  type TokenRow,
} from '@fleetlora/shared/text';
import type { RowSet } from './ports.js';

/** Rows of a set in both forms, in the same order. */
export interface LoadedRows {
  readonly texts: readonly TextRow[];
  readonly encoded: readonly TokenRow[];
  readonly tokenizer: Tokenizer;
}

/**
 * Reads the rows of a set from the content folder and encodes them.
 * @param model.stopId token that ends a row
 * @param model.positions rows longer than these are cut as if the set said so
 * @throws NOT_FOUND, BAD_REQUEST when the set asks for more rows than there are, DATA_LINE, TOKENIZER
 */
export async function loadRows(
  contentFolder: string,
  set: RowSet,
  model: { readonly stopId: number; readonly positions: number },
): Promise<LoadedRows> {
  const read = async (digest: string): Promise<string> => {
    await requireContent(contentFolder, digest);
    return readFile(join(contentFolder, digest), 'utf8');
  };
  const rows = parseRows(await read(set.datasetDigest));
  const tokenizer = createTokenizer(JSON.parse(await read(set.tokenizerDigest)));
  const ordered = set.seed === null ? rows : createRandom(set.seed).shuffle(rows);
  const texts = ordered.slice(set.skip, set.skip + set.take);
  if (texts.length < set.take)
    throw new CodedError(
      'BAD_REQUEST',
      `the data set has ${rows.length} rows, rows ${set.skip} to ${set.skip + set.take - 1} were wanted`,
    );
  const maxTokens = Math.min(set.maxTokens, model.positions);
  const encoded = texts.map((row) => encodeRow(tokenizer, row, { stopId: model.stopId, maxTokens }));
  return { texts, encoded, tokenizer };
}

/** @throws NOT_FOUND when the content folder does not have it */
export async function requireContent(contentFolder: string, digest: string): Promise<void> {
  try {
    await access(join(contentFolder, digest));
  } catch (cause) {
    throw new CodedError('NOT_FOUND', `content ${digest} is not in the content folder`, { cause });
  }
}
