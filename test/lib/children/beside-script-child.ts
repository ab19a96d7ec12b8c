import { answerParent } from '@fleetlora/agent/child';
import type { BesideRequest, BesideResult } from '@fleetlora/agent/measure';

/** Stands in for turns with the sentinel: 20 and 2 ms against 10 and 4 ms. */
answerParent(async (value): Promise<BesideResult> => {
  const { share } = value as BesideRequest;
  const samples = (prefillMs: number, decodeMs: number) => ({
    prefillMs: Array.from({ length: share.prefill }, () => prefillMs),
    decodeMs: Array.from({ length: share.decode }, () => decodeMs),
  });
  return { candidate: samples(20, 2), sentinel: samples(10, 4) };
});
