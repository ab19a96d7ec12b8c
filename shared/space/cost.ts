import { CodedError } from '../errors.js';
import type { Genome, LayerGenome, Precision } from './genome.js';

/** The sizes of a model that decide what a candidate costs. */
export interface CostShape {
  readonly hidden: number;
  readonly qWidth: number;
  readonly kvWidth: number;
  readonly vocab: number;
  /** Key/value heads in `kvWidth`; needed for candidates that keep some of them. */
  readonly kvHeads?: number;
}

export interface CandidateCost {
  /** Multiply-adds a decoded token takes in linear layers, attention over the cache left out. */
  readonly macs: number;
  /** LoRA parameters. */
  readonly adapterParameters: number;
  /** FFN and attention parameters of the base that the candidate runs. */
  readonly baseParameters: number;
  /** Bytes of the base's linear layers that the candidate reads for a token, its head included. */
  readonly baseBytes: number;
  /** Parameters shipped to a device that holds the base. */
  readonly shippedParameters: number;
}

/**
 * What a candidate costs on paper. Merged adapters add no multiply-adds and ship every linear
 * matrix; unmerged ones ship their LoRA factors only. Layers that are left out cost nothing.
 * @throws BUG for a candidate that keeps some heads when the shape does not say how many there are
 */
export function costOf(genome: Genome, shape: CostShape): CandidateCost {
  const { hidden } = shape;
  let adapterParameters = 0;
  let baseParameters = 0;
  for (const layer of genome.layers) {
    if (layer.skipped) continue;
    const { ranks, width } = layer;
    const share = headShare(layer, shape);
    const qWidth = shape.qWidth * share;
    const kvWidth = shape.kvWidth * share;
    adapterParameters +=
      ranks.qkv * (3 * hidden + qWidth + 2 * kvWidth) +
      ranks.o * (qWidth + hidden) +
      ranks.gateUp * 2 * (hidden + width) +
      ranks.down * (width + hidden);
    baseParameters += hidden * (2 * qWidth + 2 * kvWidth) + 3 * hidden * width;
  }
  const merged = genome.form === 'merged';
  return {
    macs: baseParameters + (merged ? 0 : adapterParameters) + hidden * shape.vocab,
    adapterParameters,
    baseParameters,
    baseBytes:
      baseParameters * bytesOfWeight[genome.precision ?? 'fp32'] +
      hidden * shape.vocab * bytesOfHeadWeight[genome.precision ?? 'fp32'],
    shippedParameters: merged ? baseParameters : adapterParameters,
  };
}

/** Of 32 weights, one scale of 4 bytes beside the numbers. */
const bytesOfWeight: Readonly<Record<Precision, number>> = { fp32: 4, q8: 1 + 4 / 32, q4: 0.5 + 4 / 32 };
/** The head stays q8 in a q4 file. */
const bytesOfHeadWeight: Readonly<Record<Precision, number>> = { ...bytesOfWeight, q4: bytesOfWeight.q8 };

/** The part of a layer's heads that is kept. */
function headShare({ kvHeads }: LayerGenome, shape: CostShape): number {
  if (kvHeads === undefined) return 1;
  if (shape.kvHeads === undefined)
    throw new CodedError('BUG', `a layer keeps ${kvHeads} heads, the shape does not say of how many`);
  return kvHeads / shape.kvHeads;
}
