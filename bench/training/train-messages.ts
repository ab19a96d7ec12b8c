/** One LoRA training that both programs do. */
export interface TrainSpec {
  /** Hugging Face folder of the peer, or our weight folder. */
  readonly folder: string;
  /** Our base in that folder; the peer has none. */
  readonly base: string;
  /** PEFT folder of the peer, or our adapter in the weight folder. */
  readonly adapter: string;
  readonly threads: number;
  readonly rank: number;
  readonly alpha: number;
  readonly learningRate: number;
  readonly ids: readonly (readonly number[])[];
  /** Tokens from here on are targets. */
  readonly targetStart: number;
}

/** Answer to one step. */
export interface TrainAnswer {
  readonly ms: number;
  /** Before the step, and the length of the whole gradient before it is clipped. */
  readonly loss: number;
  readonly gradientNorm: number;
  /** Most memory the process had so far, and what it had before there was a model. */
  readonly peakBytes: number;
  readonly importedBytes: number;
}
