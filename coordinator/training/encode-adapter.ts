import type { ModelShape, ModuleName } from '@fleetlora/shared/graph';
import type { Precision } from '@fleetlora/shared/space';
import { type AdapterFactors, encodeAdapterFile, roundToHalf } from '@fleetlora/shared/weights';
import type { LoraParameters } from './lora-parameters.js';

export interface AdapterHeader {
  readonly shape: ModelShape;
  readonly baseDigest: string;
  readonly ffnOrderDigest: string;
  readonly rankMax: number;
  readonly alpha: number;
  /** As AdapterFacts says. */
  readonly masked?: Precision | undefined;
}

/**
 * A trained super-adapter as an adapter file. Values are rounded to half precision, so that what
 * is scored from this file equals what its half-precision export holds.
 */
export function encodeAdapter(parameters: LoraParameters, header: AdapterHeader): Uint8Array {
  const factors: Partial<Record<ModuleName, AdapterFactors>>[] = Array.from(
    { length: header.shape.layers },
    () => ({}),
  );
  for (const view of parameters.factors) {
    const layer = factors[view.layer];
    if (!layer) continue;
    const rounded = parameters.valuesOf(view).map(roundToHalf);
    const none = new Float32Array(0);
    const known = layer[view.module] ?? { a: none, b: none };
    layer[view.module] = view.factor === 'A' ? { ...known, a: rounded } : { ...known, b: rounded };
  }
  return encodeAdapterFile({ ...header, factors });
}
