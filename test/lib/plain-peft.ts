import { readFloats, type TensorFile } from '@fleetlora/shared/weights';
import type { HfWeights } from './plain-hf.js';

/** What an adapter_config.json says of ranks and scales. */
interface LoraConfig {
  readonly peft_type: string;
  readonly r: number;
  readonly lora_alpha: number;
  readonly target_modules: readonly string[];
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
}

/**
 * The weights that peft computes with: of each module that the adapter targets, W + alpha / r · B·A,
 * where the patterns may give it another r and alpha. As stock peft does, it fails over factors of
 * another rank than the config's, and over factors that belong to no module.
 * @source peft 0.21, LoraModel._create_and_replace, get_pattern_key and check_target_module_exists
 */
export async function applyPeft(weights: HfWeights, config: unknown, file: TensorFile): Promise<HfWeights> {
  const { peft_type: type, r, lora_alpha: alpha, ...lora } = config as LoraConfig;
  if (type !== 'LORA') throw new Error(`peft_type is ${type}`);
  const sums = new Map(weights);
  const left = new Set(file.tensors.keys());
  for (const [name, weight] of weights) {
    const module = name.replace(/\.weight$/, '');
    const isTarget = lora.target_modules.some((target) => module === target || module.endsWith(`.${target}`));
    if (!name.endsWith('.weight') || !isTarget) continue;
    const rank = lookUp(lora.rank_pattern, module) ?? r;
    const scale = (lookUp(lora.alpha_pattern, module) ?? alpha) / rank;
    const read = async (factor: 'A' | 'B', shape: (found: readonly number[]) => readonly number[]) => {
      const key = `base_model.model.${module}.lora_${factor}.weight`;
      left.delete(key);
      return readFloats(file, key, shape(file.tensors.get(key)?.shape ?? []));
    };
    const a = await read('A', ([, input = 0]) => [rank, input]);
    const input = a.length / rank;
    const b = await read('B', () => [weight.length / input, rank]);
    sums.set(
      name,
      Float64Array.from(weight, (value, at) => {
        const [row, column] = [Math.floor(at / input), at % input];
        let sum = 0;
        for (let i = 0; i < rank; i++)
          sum += (b[row * rank + i] as number) * (a[i * input + column] as number);
        return value + scale * sum;
      }),
    );
  }
  if (left.size > 0) throw new Error(`factors of no module: ${[...left].join(', ')}`);
  return sums;
}

/** Keys are regular expressions for the end of a path; the first that matches counts. */
function lookUp(pattern: Readonly<Record<string, number>>, module: string): number | undefined {
  return Object.entries(pattern).find(([key]) => new RegExp(`^(.*\\.)?${key}$`).test(module))?.[1];
}
