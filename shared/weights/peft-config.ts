import { CodedError } from '../errors.js';
import { quoteValue as quote } from './quote-value.js';

/** What an import needs from a PEFT adapter_config.json. */
export interface PeftConfig {
  /** Rank and scale of modules that no pattern names. */
  readonly rank: number;
  readonly scale: number;
  /** Whether a layer's module, such as "model.layers.0.mlp.up_proj", is to have an adapter. */
  adapts(layer: number, module: string): boolean;
  /** Rank the config gives a module such as "model.layers.0.mlp.up_proj". */
  rankOf(module: string): number;
  /** Factor its product B·A is multiplied by. */
  scaleOf(module: string): number;
}

type Fields = Readonly<Record<string, unknown>>;
const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const refuse = (what: string, found: unknown, wanted: string): CodedError =>
  new CodedError('ADAPTER_CONFIG', `adapter_config.json has ${what} = ${quote(found)}, wanted ${wanted}`);

/** A pattern key we can follow: a module path or the end of one, no regular expression. */
const PLAIN_KEY = /^[A-Za-z0-9_.]{1,200}$/;
const MAX_RANK = 4096;

const isRank = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_RANK;
const isAlpha = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0;

/** Settings that change the arithmetic, with the only value we compute. */
const fixed = {
  bias: 'none',
  fan_in_fan_out: false,
  use_dora: false,
  use_qalora: false,
  use_bdlora: null,
  lora_bias: false,
  modules_to_save: null,
  layer_replication: null,
  alora_invocation_tokens: null,
  trainable_token_indices: null,
  target_parameters: null,
} as const;

/**
 * Reads adapter_config.json: one global rank and alpha, patterns that give some modules others.
 * @throws ADAPTER_CONFIG naming the setting, its value and the one wanted
 * @source peft LoraConfig, version 0.21; rank_pattern and alpha_pattern match the end of a module's
 *   path, the first key that matches counts (get_pattern_key)
 */
export function parsePeftConfig(value: unknown): PeftConfig {
  if (!isRecord(value))
    throw new CodedError('ADAPTER_CONFIG', `adapter_config.json is ${quote(value)}, wanted an object`);
  if (value.peft_type !== 'LORA') throw refuse('peft_type', value.peft_type, '"LORA"');
  for (const [name, wanted] of Object.entries(fixed)) {
    const found = value[name];
    const empty = Array.isArray(found) && found.length === 0;
    if (found && !empty && found !== wanted) throw refuse(name, found, quote(wanted));
  }
  if (!isRank(value.r)) throw refuse('r', value.r, `a whole number from 1 to ${MAX_RANK}`);
  if (!isAlpha(value.lora_alpha)) throw refuse('lora_alpha', value.lora_alpha, 'a positive number');
  const rank = value.r;
  const alpha = value.lora_alpha;
  const ranks = readPattern(value, 'rank_pattern', isRank);
  const alphas = readPattern(value, 'alpha_pattern', isAlpha);
  const scale = (a: number, r: number): number => a / (value.use_rslora === true ? Math.sqrt(r) : r);
  const rankOf = (module: string): number => lookUp(ranks, module) ?? rank;
  const layers = readLayers(value.layers_to_transform);
  const isTarget = readTargets(value.target_modules);
  return {
    rank,
    scale: scale(alpha, rank),
    adapts: (layer, module) => (layers === null || layers.includes(layer)) && isTarget(module),
    rankOf,
    scaleOf: (module) => scale(lookUp(alphas, module) ?? alpha, rankOf(module)),
  };
}

function readPattern(
  fields: Fields,
  name: string,
  valid: (value: unknown) => value is number,
): [string, number][] {
  const pattern = fields[name] ?? {};
  if (!isRecord(pattern)) throw refuse(name, pattern, 'an object of numbers');
  return Object.entries(pattern).map(([key, found]) => {
    if (!PLAIN_KEY.test(key)) throw refuse(name, key, 'module names without regular expressions');
    if (!valid(found)) throw refuse(`${name} ${quote(key)}`, found, 'a positive number');
    return [key, found];
  });
}

function lookUp(pattern: readonly [string, number][], module: string): number | undefined {
  return pattern.find(([key]) => module === key || module.endsWith(`.${key}`))?.[1];
}

function readLayers(found: unknown): number[] | null {
  if (found === undefined || found === null) return null;
  const layers: unknown[] = Array.isArray(found) ? found : [found];
  if (!layers.every((layer): layer is number => Number.isInteger(layer) && (layer as number) >= 0))
    throw refuse('layers_to_transform', found, 'layer numbers');
  return layers;
}

/**
 * Whether a module is among `target_modules` where these name layers ("layers.0.mlp.up_proj"). Names
 * of modules alone mean every layer, and so does an expression, which is not evaluated.
 * @source peft check_target_module_exists: an entry matches a path or the end of one
 */
function readTargets(found: unknown): (module: string) => boolean {
  const names = Array.isArray(found) ? found.filter((name): name is string => typeof name === 'string') : [];
  const paths = new Set(names.filter((name) => name.includes('layers.')));
  if (paths.size === 0) return () => true;
  const short = names.filter((name) => !paths.has(name));
  return (module) => {
    const below = module.slice(module.indexOf('layers.'));
    return paths.has(module) || paths.has(below) || short.some((name) => module.endsWith(`.${name}`));
  };
}
