import { CodedError } from '@fleetlora/shared/errors';
import type { DatasetImport } from '@fleetlora/shared/protocol';
import { createRowMaker } from './make-row.js';

/**
 * Checks what can be known of an import before its files are read.
 * @throws BAD_REQUEST naming the parts that do not go together, or the fault of a template
 */
export function checkDatasetImport(request: Omit<DatasetImport, 'name'>): void {
  const { files, split } = request;
  const named = Object.keys(files);
  const found = named.join(', ') || 'none';
  if (named.length === 0 || (files.all !== undefined && named.length > 1))
    throw new CodedError(
      'BAD_REQUEST',
      `the files are ${found}, wanted "all" alone, or some of train, validation and test`,
    );
  if (split) {
    if (files.all === undefined)
      throw new CodedError('BAD_REQUEST', `splits were to be made, and the files are ${found}, wanted "all"`);
    const sum = split.train + split.validation + split.test;
    if (sum !== 100)
      throw new CodedError(
        'BAD_REQUEST',
        `the parts ${split.train}/${split.validation}/${split.test} add up to ${sum}, wanted 100`,
      );
  }
  createRowMaker(request);
}
