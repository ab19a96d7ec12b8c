import { CodedError } from '@fleetlora/shared/errors';
import { readModelShape } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { Base, BaseFile, BaseQuantise } from '@fleetlora/shared/protocol';
import type { CatalogRepository } from './ports.js';
import { withTensorFile } from './stored-files.js';

/** Records of bases, completed where an older version wrote less into them. */
export interface BaseRecords {
  /** @throws NOT_FOUND */
  find(idOrName: string): Promise<Base>;
  /** Notes a weight file that was made; the record as it is then. */
  addFile(id: string, precision: BaseQuantise['precision'], file: BaseFile): Promise<Base>;
}

export function createBaseRecords(
  repository: Pick<CatalogRepository, 'findBase' | 'updateBase'>,
  store: FileContentStore,
): BaseRecords {
  /** A record of before 0.4 does not tell its heads: the weight file does. */
  const withHeads = async (base: Base): Promise<Base> => {
    if (base.kvHeads !== null || !(await store.has(base.digest))) return base;
    const { kvHeads } = await withTensorFile(store, base.digest, async (file) => readModelShape(file));
    await repository.updateBase(base.id, { kvHeads });
    return { ...base, kvHeads };
  };
  const find = async (idOrName: string): Promise<Base> => {
    const found = await repository.findBase(idOrName);
    if (found === null) throw new CodedError('NOT_FOUND', `no base has the id or name "${idOrName}"`);
    return withHeads(found);
  };
  /** One change at a time: what was read of a record is still so when it is written. */
  let tail: Promise<unknown> = Promise.resolve();

  return {
    find,
    addFile(id, precision, file) {
      const added = tail.then(async () => {
        const base = await find(id);
        const files = { ...base.files, [precision]: file };
        await repository.updateBase(id, { files });
        return { ...base, files };
      });
      tail = added.catch(() => undefined);
      return added;
    },
  };
}
