import type { Genome } from './genome.js';

/** The sizes of a model that decide what a candidate costs. */
export interface CostShape {
  readonly hidden: number;
  readonly qWidth: number;
  readonly kvWidth: number;
  readonly vocab: number;
}

export interface CandidateCost {
  /** Multiply-adds a decoded token takes in linear layers, attention over the cache left out. */
  readonly macs: number;
  /** LoRA parameters. */
  readonly adapterParameters: number;
  /** FFN and attention parameters of the base that the candidate runs. */
  readonly baseParameters: number;
  /** Parameters shipped to a device that holds the base. */
  readonly shippedParameters: number;
}

/**
 * What a candidate costs on paper. Merged adapters add no multiply-adds and ship every linear
 * matrix; unmerged ones ship their LoRA factors only.
 */
export function costOf(genome: Genome, shape: CostShape): CandidateCost {
  const { hidden, qWidth, kvWidth } = shape;
  let adapterParameters = 0;
  let baseParameters = 0;
  for (const { ranks, width } of genome.layers) {
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
    shippedParameters: merged ? baseParameters : adapterParameters,
  };
}
