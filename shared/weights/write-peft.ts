import { type ModuleName, moduleDims, moduleNames, readModelShape } from '../graph/model-shape.js';
import { readAdapterFacts } from './adapter-facts.js';
import { encodeTensorFile, type TensorToWrite } from './encode-tensor-file.js';
import { modulePaths } from './module-paths.js';
import { invertOrder, takeRows, transpose } from './permute.js';
import { readFloats } from './read-values.js';
import type { TensorFile } from './tensor-file.js';

/** The two files of a PEFT adapter folder. */
export interface PeftFiles {
  readonly 'adapter_config.json': Uint8Array;
  readonly 'adapter_model.safetensors': Uint8Array;
}

/**
 * Exports a super-adapter as a stock PEFT LoRA: F16, original channel order, one rank and alpha.
 * Importing it again for the same base gives the same adapter up to F16 rounding.
 * @param adapter super-adapter file
 * @param ffnOrder the base's channel order, [layers, ffn]
 * @throws WEIGHT_DTYPE when a value does not fit into F16
 */
export async function writePeftAdapter(adapter: TensorFile, ffnOrder: Int32Array): Promise<PeftFiles> {
  const shape = readModelShape(adapter);
  const { rankMax, alpha, modules } = readAdapterFacts(adapter);
  const tensors: TensorToWrite[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    const original = invertOrder(ffnOrder.subarray(layer * shape.ffnWidth, (layer + 1) * shape.ffnWidth));
    for (const module of moduleNames.filter((name) => modules.includes(name))) {
      const [input, output] = moduleDims(shape, module);
      const path = `base_model.model.model.layers.${layer}.${modulePaths[module]}`;
      const a = await readFloats(adapter, `layers.${layer}.${module}.A`, [rankMax, input]);
      const b = await readFloats(adapter, `layers.${layer}.${module}.B`, [rankMax, output]);
      const columnsA = transpose(a, rankMax, input);
      const rowsB = transpose(b, rankMax, output);
      tensors.push({
        name: `${path}.lora_A.weight`,
        dtype: 'F16',
        shape: [rankMax, input],
        data: module === 'down' ? transpose(takeRows(columnsA, original, rankMax), input, rankMax) : a,
      });
      tensors.push({
        name: `${path}.lora_B.weight`,
        dtype: 'F16',
        shape: [output, rankMax],
        data: isFfnOutput(module) ? takeRows(rowsB, original, rankMax) : rowsB,
      });
    }
  }
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: null,
    r: rankMax,
    lora_alpha: alpha,
    lora_dropout: 0,
    bias: 'none',
    target_modules: modules.map((module) => modulePaths[module].split('.')[1]),
    inference_mode: true,
    fan_in_fan_out: false,
    rank_pattern: {},
    alpha_pattern: {},
  };
  // Stock readers ignore what they do not know in the metadata; our import compares the order.
  const metadata = { format: 'pt', ffnOrderDigest: adapter.metadata.ffnOrderDigest ?? '' };
  return {
    'adapter_config.json': new TextEncoder().encode(`${JSON.stringify(config, null, 1)}\n`),
    'adapter_model.safetensors': encodeTensorFile(tensors, metadata, { alignment: 'none' }),
  };
}

function isFfnOutput(module: ModuleName): boolean {
  return module === 'gate' || module === 'up';
}
