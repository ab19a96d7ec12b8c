import { createHash } from 'node:crypto';
import {
  layStandardModel,
  standardDigests,
  standardGenome,
  standardPlan,
  standardShape,
} from '@fleetlora/agent/qualify';
import { readModelShape } from '@fleetlora/shared/graph';
import { completePlan, defaultMeasurePlan } from '@fleetlora/shared/protocol';
import { decodeGenome } from '@fleetlora/shared/space';
import { bufferSource, readAdapterFacts, readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';

t.test('the standard model: bytes that never change, so that figures of all devices compare', async (t) => {
  const laid = await layStandardModel();
  const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  t.strictSame({ base: digestOf(laid.base), adapter: digestOf(laid.adapter) }, standardDigests);

  const base = await readTensorFile(bufferSource(laid.base));
  t.strictSame(readModelShape(base), standardShape);
  // 512 x 256 and 8 layers of 2 x 256 x 256 + 2 x 256 x 128 + 3 x 256 x 768, and 17 gains of 256.
  t.equal(base.metadata.parameters, String(131_072 + 8 * 786_432 + 17 * 256));
  const adapter = await readTensorFile(bufferSource(laid.adapter));
  t.equal(adapter.metadata.baseDigest, standardDigests.base);
  t.equal(adapter.metadata.ffnOrderDigest, base.metadata.ffnOrderDigest);
  const facts = readAdapterFacts(adapter);
  const genome = decodeGenome(standardGenome);
  t.equal(genome.layers.length, standardShape.layers);
  for (const { ranks, width } of genome.layers) {
    t.ok(Object.values(ranks).every((rank) => rank === facts.rankMax));
    t.equal(width, standardShape.ffnWidth);
  }
});

t.test('the standard plan: five sessions of the default plan, with room for its cache', async (t) => {
  t.strictSame(completePlan(standardPlan), completePlan(defaultMeasurePlan));
  t.ok(standardShape.positions > Math.max(standardPlan.promptTokens, standardPlan.kvTokens));
});
