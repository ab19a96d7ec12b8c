import { CodedError } from '../errors.js';
import {
  type ModelShape,
  type ModuleName,
  moduleDims,
  moduleNames,
  readModelShape,
} from '../graph/model-shape.js';
import { uniformGenome } from '../space/genome.js';
import { readAdapterFacts } from './adapter-facts.js';
import { importedName } from './adapter-file.js';
import { encodeTensorFile, type TensorToWrite } from './encode-tensor-file.js';
import { cutCandidate } from './export/candidate-cut.js';
import { type ExportedFactors, type ExportSource, readFactors } from './export/export-source.js';
import type { ModelOrders } from './model-orders.js';
import { modulePaths } from './module-paths.js';
import { type PeftModule, peftKey, peftPath, readPeftRecord } from './peft-record.js';
import { readFloats } from './read-values.js';
import type { TensorFile } from './tensor-file.js';

/** The two files of a PEFT adapter folder. */
export interface PeftFiles {
  readonly 'adapter_config.json': Uint8Array;
  readonly 'adapter_model.safetensors': Uint8Array;
}

export type PeftDtype = 'F32' | 'F16' | 'BF16';

/** LoRA of one module of one layer, under way to a PEFT folder. */
interface PeftEntry extends ExportedFactors {
  readonly layer: number;
  readonly module: ModuleName;
}

/**
 * Exports a whole super-adapter as a stock PEFT LoRA in original channel order. One that was
 * imported gets back the ranks, scales and number type that it came with, and its tensors are the
 * same bytes. Any other has one rank and alpha.
 * @param adapter super-adapter file
 * @param dtype of the tensors; absent: that of the import, F16 for a super-adapter that was trained
 * @throws WEIGHT_DTYPE when a value does not fit into the type
 */
export async function writePeftAdapter(
  adapter: TensorFile,
  orders: ModelOrders,
  dtype?: PeftDtype,
): Promise<PeftFiles> {
  const shape = readModelShape(adapter);
  const facts = readAdapterFacts(adapter);
  const record = readPeftRecord(adapter, facts);
  const cut = cutCandidate(shape, uniformGenome(shape.layers, facts.rankMax, shape.ffnWidth));
  const scale = facts.alpha / facts.rankMax;
  const entries: PeftEntry[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const module of facts.modules) {
      const was = record?.modules[peftKey(layer, module)] ?? { rank: facts.rankMax, scale };
      if (was.rank === 0) continue;
      const factors = await readFactors({
        adapter,
        facts,
        cut,
        orders,
        layer,
        module,
        rank: was.rank,
        scale,
      });
      const kept = importedName(layer, module);
      const [, output] = moduleDims(shape, module);
      const unfold = scale / was.scale;
      const b = adapter.tensors.has(kept)
        ? await readFloats(adapter, kept, [output, was.rank])
        : factors.b.map((value) => value * unfold);
      entries.push({ ...factors, scale: was.scale, b, layer, module });
    }
  }
  const general = { rank: facts.rankMax, scale };
  const wanted = dtype ?? record?.dtype ?? 'F16';
  return encodePeft(entries, shape, general, wanted, adapter.metadata.ffnOrderDigest ?? '');
}

/**
 * Exports a candidate as a stock PEFT LoRA for its model: the original one when only ranks were
 * chosen (`cut.isWhole`), else the one that the base is exported as, with zeros up to its sizes.
 * Ranks and alphas that differ stand in rank_pattern and alpha_pattern.
 * @throws WEIGHT_DTYPE when a value does not fit into the type
 * @throws ADAPTER_CONFIG for a candidate without an adapter
 */
export async function writeCandidatePeft(source: ExportSource, dtype: PeftDtype): Promise<PeftFiles> {
  const { cut } = source;
  const entries: PeftEntry[] = [];
  for (let layer = 0; layer < cut.layers.length; layer++) {
    for (const module of source.modules) {
      const factors = await source.factors(layer, module);
      if (factors) entries.push({ ...factors, layer, module });
    }
  }
  const [first] = entries;
  if (first === undefined)
    throw new CodedError('ADAPTER_CONFIG', 'the candidate has rank 0 everywhere, wanted one with an adapter');
  const general = { rank: entries.reduce((most, { rank }) => Math.max(most, rank), 0), scale: first.scale };
  return encodePeft(
    entries,
    cut.shape,
    general,
    dtype,
    cut.isWhole ? source.metadata.ffnOrderDigest : undefined,
  );
}

function encodePeft(
  entries: readonly PeftEntry[],
  shape: ModelShape,
  general: PeftModule,
  dtype: PeftDtype,
  ffnOrderDigest: string | undefined,
): PeftFiles {
  const tensors = entries.flatMap(({ layer, module, rank, a, b }): TensorToWrite[] => {
    const [input, output] = moduleDims(shape, module);
    const path = `base_model.model.model.${peftPath(layer, module)}`;
    return [
      { name: `${path}.lora_A.weight`, dtype, shape: [rank, input], data: a },
      { name: `${path}.lora_B.weight`, dtype, shape: [output, rank], data: b },
    ];
  });
  // Stock readers ignore what they do not know in the metadata; our import compares the order.
  const metadata = { format: 'pt', ...(ffnOrderDigest !== undefined && { ffnOrderDigest }) };
  return {
    'adapter_config.json': new TextEncoder().encode(
      `${JSON.stringify(describe(entries, shape, general), null, 1)}\n`,
    ),
    'adapter_model.safetensors': encodeTensorFile(tensors, metadata, { alignment: 'none' }),
  };
}

/**
 * adapter_config.json.
 * @param general rank and scale of modules that no pattern names
 * @source peft LoraConfig, version 0.21: patterns are looked up by the end of a module's path
 */
function describe(
  entries: readonly PeftEntry[],
  shape: ModelShape,
  general: PeftModule,
): Record<string, unknown> {
  // What a product of two rounded numbers adds behind the twelfth digit nobody wrote.
  const alphaOf = ({ rank, scale }: PeftModule): number => Number((rank * scale).toPrecision(12));
  const alpha = alphaOf(general);
  const pattern = (differs: (entry: PeftEntry) => boolean, value: (entry: PeftEntry) => number): object =>
    Object.fromEntries(
      entries.filter(differs).map((entry) => [peftPath(entry.layer, entry.module), value(entry)]),
    );
  const modules = moduleNames.filter((module) => entries.some((entry) => entry.module === module));
  const everywhere = entries.length === modules.length * shape.layers;
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: null,
    r: general.rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    bias: 'none',
    target_modules: everywhere
      ? modules.map((module) => modulePaths[module].split('.')[1])
      : entries.map(({ layer, module }) => peftPath(layer, module)),
    inference_mode: true,
    fan_in_fan_out: false,
    rank_pattern: pattern(
      ({ rank }) => rank !== general.rank,
      ({ rank }) => rank,
    ),
    alpha_pattern: pattern((entry) => alphaOf(entry) !== alpha, alphaOf),
  };
}
