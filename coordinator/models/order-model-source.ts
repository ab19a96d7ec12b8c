import { inOriginalOrder, orderModel } from '@fleetlora/shared/compress';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { Runtime } from '@fleetlora/shared/runtime';
import { createTokenizer, type Tokenizer } from '@fleetlora/shared/text';
import { layBase, type ModelOrders, readModelOrders } from '@fleetlora/shared/weights';
import { calibrateBase } from './calibrate-base.js';
import type { ModelSorting } from './compression-work.js';
import { storeFile, withScratch } from './make-files.js';
import type { OpenModel } from './open-hf-files.js';
import { jsonCeilings, readStoredJson, withTensorFile } from './stored-files.js';

/**
 * The order that a model's channels and heads are to be laid out in. `wanda` lays the model out twice:
 * first in any order, since only a base file can be computed with; its activations are then those of the
 * model whatever the order.
 * @throws BAD_REQUEST for `wanda` without a calibration; what calibrateBase throws
 */
export async function orderModelSource(
  runtime: Runtime,
  store: FileContentStore,
  model: OpenModel,
  { importance, calibration, incomingFolder }: ModelSorting,
): Promise<ModelOrders> {
  const { source, tokenizerDigest } = model;
  if (importance === 'l1') return orderModel(source, null);
  if (calibration === undefined)
    throw new CodedError('BAD_REQUEST', 'importance is wanda without a calibration, wanted a data set');
  const { shape } = source.config;
  const tokenizer = await readTokenizer(store, model);
  return withScratch(incomingFolder, async (scratch) => {
    const { digest } = await storeFile(scratch, async (sink) => {
      await layBase(source, { tokenizerDigest }, sink);
    });
    const base = { store: scratch, digest };
    const { norms } = await calibrateBase(runtime, base, tokenizer, store, calibration);
    const orders = await withTensorFile(scratch, digest, (file) => readModelOrders(file, shape));
    return orderModel(source, inOriginalOrder(norms, orders, shape));
  });
}

async function readTokenizer(
  store: FileContentStore,
  { madeTokenizer, tokenizerDigest }: OpenModel,
): Promise<Tokenizer> {
  if (madeTokenizer !== null) return createTokenizer(JSON.parse(new TextDecoder().decode(madeTokenizer)));
  return createTokenizer(
    await readStoredJson(store, tokenizerDigest, 'tokenizer.json', {
      ceiling: jsonCeilings.tokenizer,
      code: 'TOKENIZER',
    }),
  );
}
