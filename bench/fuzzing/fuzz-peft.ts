import { readModelShape } from '@fleetlora/shared/graph';
import {
  bufferSource,
  encodeTensorFile,
  readAdapterFacts,
  readFloats,
  readModelOrders,
  readPeftAdapter,
  readTensorFile,
  writePeftAdapter,
} from '@fleetlora/shared/weights';
import { tinyPeftConfig, tinyPeftFile, tinyPeftTensors } from '../lib/tiny-llama.js';
import type { FuzzFiles, FuzzReader } from './fuzz-reader.js';
import { encodeJson, mutateFiles, readJson } from './json-files.js';
import { tinyBase, tinyOrderFile } from './tiny-base.js';

const WEIGHTS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';
const ORDER = 'channel_order.json';

/** PEFT folders: a stock adapter, one with a channel order, one of mixed ranks, one of our own export. */
export async function fuzzPeft(): Promise<FuzzReader> {
  const base = await tinyBase();
  const seeds = await makeSeeds();
  return {
    seeds,
    mutate: (seed, header, random) => mutateFiles(seeds[seed] as FuzzFiles, header, random),
    async read(sources, pastHeader) {
      const { [WEIGHTS]: weights, [CONFIG]: config, [ORDER]: order } = sources;
      if (weights === undefined || config === undefined) return;
      const file = await readTensorFile(weights);
      pastHeader();
      const values = await readJson(config, CONFIG, 'ADAPTER_CONFIG');
      const adapter = await readPeftAdapter(
        values,
        file,
        base,
        order && (await readJson(order, ORDER, 'ADAPTER_CONFIG')),
      );
      await checkAdapter(adapter);
    },
  };
}

async function makeSeeds(): Promise<FuzzFiles[]> {
  const stock = { [CONFIG]: encodeJson(tinyPeftConfig()), [WEIGHTS]: tinyPeftFile() };
  const mixed = {
    [CONFIG]: encodeJson({
      ...tinyPeftConfig(),
      rank_pattern: { 'layers.0.mlp.gate_proj': 2 },
      alpha_pattern: { 'layers.0.mlp.gate_proj': 12, q_proj: 3 },
      layers_to_transform: [0],
      use_rslora: true,
    }),
    [WEIGHTS]: encodeTensorFile(mixedTensors(), { format: 'pt' }, { alignment: 'none' }),
  };
  const base = await tinyBase();
  const ours = await readPeftAdapter(
    tinyPeftConfig(),
    await readTensorFile(bufferSource(tinyPeftFile())),
    base,
  );
  const orders = await readModelOrders(base.file, readModelShape(base.file));
  const exported = await writePeftAdapter(await readTensorFile(bufferSource(ours)), orders);
  return [stock, { ...stock, [ORDER]: tinyOrderFile() }, mixed, { ...exported }];
}

/** Layer 0 alone, gate of rank 2. */
function mixedTensors() {
  return tinyPeftTensors()
    .filter(({ name }) => name.includes('layers.0.'))
    .map((tensor) => {
      if (!tensor.name.includes('gate_proj')) return tensor;
      const shape = tensor.name.includes('lora_A') ? [2, 32] : [8, 2];
      return {
        ...tensor,
        shape,
        data: new Float32Array((shape[0] as number) * (shape[1] as number)).fill(0.5),
      };
    });
}

/** What was accepted must be a super-adapter that can be used: finite, and readable again. */
async function checkAdapter(bytes: Uint8Array): Promise<void> {
  const adapter = await readTensorFile(bufferSource(bytes));
  const { alpha, rankMax } = readAdapterFacts(adapter);
  if (!Number.isFinite(alpha / rankMax)) throw new Error(`accepted an adapter of alpha ${alpha}`);
  for (const name of adapter.tensors.keys())
    if (!(await readFloats(adapter, name)).every(Number.isFinite))
      throw new Error(`accepted an adapter whose "${name}" is not finite`);
}
