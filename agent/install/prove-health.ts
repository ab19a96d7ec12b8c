import type { GoldenPrompt } from '@fleetlora/shared/protocol';

/** What a model is asked to prove itself. */
export interface ProvableModel {
  continueGreedily(promptIds: readonly number[], maxTokens: number): Promise<readonly number[]>;
}

export interface HealthProof {
  readonly healthy: number;
  readonly checked: number;
  /** The first wrong answer in words, null when all were right. */
  readonly firstFault: string | null;
}

/**
 * Asks a model the golden prompts of its release. The expected ids are as far as every right
 * device must agree, so exactly that many are asked for and each must be the same.
 */
export async function proveHealth(
  model: ProvableModel,
  golden: readonly GoldenPrompt[],
): Promise<HealthProof> {
  let healthy = 0;
  let firstFault: string | null = null;
  for (const { text, promptIds, expectedIds } of golden) {
    const found = expectedIds.length === 0 ? [] : await model.continueGreedily(promptIds, expectedIds.length);
    const equal =
      found.length === expectedIds.length && found.every((id, index) => id === expectedIds[index]);
    if (equal) healthy++;
    else
      firstFault ??= `"${text.slice(0, 60)}" was continued with tokens [${found.join(' ')}], wanted [${expectedIds.join(' ')}]`;
  }
  return { healthy, checked: golden.length, firstFault };
}
