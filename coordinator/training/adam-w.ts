/** AdamW's state beside the parameters; both moments start at zero. */
export interface AdamWState {
  readonly first: Float32Array;
  readonly second: Float32Array;
  /** Updates made so far. */
  step: number;
}

export interface AdamWOptions {
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export function createAdamW(length: number): AdamWState {
  return { first: new Float32Array(length), second: new Float32Array(length), step: 0 };
}

/**
 * One decoupled-weight-decay Adam update of `values` in place.
 * @source Loshchilov & Hutter, Decoupled Weight Decay Regularization, algorithm 2
 */
export function stepAdamW(
  state: AdamWState,
  values: Float32Array,
  gradient: Float32Array,
  learningRate: number,
  options: AdamWOptions,
): void {
  state.step++;
  const { beta1, beta2, epsilon, weightDecay } = options;
  const correct1 = 1 - beta1 ** state.step;
  // A quotient for each value costs as much as all else together: there is one.
  const rootScale = 1 / Math.sqrt(1 - beta2 ** state.step);
  const { first, second } = state;
  const decay = 1 - learningRate * weightDecay;
  const stepSize = learningRate / correct1;
  for (let i = 0; i < values.length; i++) {
    const g = gradient[i] as number;
    const m = beta1 * (first[i] as number) + (1 - beta1) * g;
    const v = beta2 * (second[i] as number) + (1 - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    values[i] = (values[i] as number) * decay - (stepSize * m) / (Math.sqrt(v) * rootScale + epsilon);
  }
}

/** Scales `gradient` in place so that its Euclidean norm is at most `limit`; returns the norm before. */
export function clipGradient(gradient: Float32Array, limit: number): number {
  let sum = 0;
  for (const g of gradient) sum += g * g;
  const norm = Math.sqrt(sum);
  if (norm > limit) {
    const scale = limit / norm;
    for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] as number) * scale;
  }
  return norm;
}

/**
 * Cosine decay to zero after a linear warm-up. Steps count from 0; the last one, steps - 1, is
 * the smallest above zero.
 */
export function cosineLearningRate(
  step: number,
  options: { peak: number; warmupSteps: number; steps: number },
): number {
  const { peak, warmupSteps, steps } = options;
  if (step < warmupSteps) return (peak * (step + 1)) / (warmupSteps + 1);
  const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps);
  return peak * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)));
}
