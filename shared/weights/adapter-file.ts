import {
  layoutVersionOf,
  type ModelShape,
  type ModuleName,
  moduleDims,
  moduleNames,
} from '../graph/model-shape.js';
import type { Precision } from '../space/genome.js';
import { encodeTensorFile, type TensorToWrite } from './encode-tensor-file.js';

/** LoRA factors of one module in adapter layout: A [rankMax, in], B [rankMax, out], FFN sides sorted. */
export interface AdapterFactors {
  readonly a: Float32Array;
  readonly b: Float32Array;
  /** B [out, rank] as an import found it, where the scale that was folded into it cannot be taken out. */
  readonly importedB?: Float32Array;
}

/** Name of the tensor that keeps `importedB`. */
export const importedName = (layer: number, module: ModuleName): string =>
  `layers.${layer}.${module}.B.imported`;

/**
 * A super-adapter file, F32 and page-aligned. A module is there in every layer or in none.
 * @param adapter.factors by layer, then by module
 */
export function encodeAdapterFile(adapter: {
  readonly shape: ModelShape;
  readonly baseDigest: string;
  readonly ffnOrderDigest: string;
  readonly rankMax: number;
  readonly alpha: number;
  readonly factors: readonly Readonly<Partial<Record<ModuleName, AdapterFactors>>>[];
  /** As AdapterFacts says; readers of layout version 1 do not know it. */
  readonly masked?: Precision | undefined;
  /** Text of the PeftRecord of an imported one. */
  readonly peft?: string;
}): Uint8Array {
  const tensors: TensorToWrite[] = [];
  adapter.factors.forEach((modules, layer) => {
    for (const module of moduleNames) {
      const factors = modules[module];
      if (!factors) continue;
      const [input, output] = moduleDims(adapter.shape, module);
      const name = `layers.${layer}.${module}`;
      tensors.push({ name: `${name}.A`, dtype: 'F32', shape: [adapter.rankMax, input], data: factors.a });
      tensors.push({ name: `${name}.B`, dtype: 'F32', shape: [adapter.rankMax, output], data: factors.b });
      const { importedB } = factors;
      if (importedB)
        tensors.push({
          name: importedName(layer, module),
          dtype: 'F32',
          shape: [output, importedB.length / output],
          data: importedB,
        });
    }
  });
  const metadata = {
    format: 'fleetlora-adapter',
    layoutVersion: adapter.masked === undefined ? layoutVersionOf(adapter.shape) : '2',
    shape: JSON.stringify(adapter.shape),
    baseDigest: adapter.baseDigest,
    ffnOrderDigest: adapter.ffnOrderDigest,
    rankMax: String(adapter.rankMax),
    alpha: String(adapter.alpha),
    ...(adapter.masked !== undefined && { masked: adapter.masked }),
    ...(adapter.peft !== undefined && { peft: adapter.peft }),
  };
  return encodeTensorFile(tensors, metadata, { alignment: 'page' });
}
