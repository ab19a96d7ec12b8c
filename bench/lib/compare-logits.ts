import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { argmax } from '@fleetlora/shared/engine';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import type { Arm64Board } from './arm64-boards.js';
import { runNode } from './local-fleet.js';
import { type PreparedBase, prepareAdapter, prepareBase } from './prepare-model.js';
import type { LogitsAnswer, LogitsRequest } from './print-logits.js';
import { checkout } from './reference.js';

/** How far a board's logits are from this machine's. */
export interface LogitDistance {
  readonly cpu: string;
  readonly candidates: number;
  /** Largest difference of one logit, in logits. */
  readonly largest: number;
  /** Candidates whose likeliest token is the same. */
  readonly sameToken: number;
}

/**
 * Logits of the demo's base with sub-networks of its super-adapter, all of float32, on each board
 * and on this machine.
 */
export async function compareLogits(
  boards: readonly Arm64Board[],
  workFolder: string,
): Promise<LogitDistance[]> {
  const demo = join(checkout, 'deploy', 'demo');
  const prepared = await prepareBase(join(demo, 'base'), join(workFolder, 'weights'));
  const adapter = await prepareAdapter(join(demo, 'adapter'), prepared);
  const request: LogitsRequest = {
    folder: prepared.folder,
    base: prepared.base.fileName,
    adapter: adapter.fileName,
    genomes: namedGenomes(prepared),
    ids: prepared.tokenizer.encode('Definition: a domestic animal that barks\nCategory:').slice(0, 32),
  };
  const program = fileURLToPath(new URL('./print-logits.js', import.meta.url));
  const print = async (node: string): Promise<Float32Array[]> => {
    const answer = JSON.parse(await runNode([program, JSON.stringify(request)], {}, node)) as LogitsAnswer;
    return answer.logits.map((text) => new Float32Array(new Uint8Array(Buffer.from(text, 'base64')).buffer));
  };
  const native = await print(process.execPath);
  const distances: LogitDistance[] = [];
  for (const { cpu, node } of boards) {
    const found = await print(node);
    const differences = native.map((values, index) => largestDifference(values, found[index] ?? nothing));
    distances.push({
      cpu,
      candidates: native.length,
      largest: Math.max(...differences),
      sameToken: native.filter((values, index) => argmax(values) === argmax(found[index] ?? nothing)).length,
    });
  }
  return distances;
}

const nothing = new Float32Array();

function namedGenomes({ shape: { layers, ffnWidth } }: PreparedBase): string[] {
  return [
    uniformGenome(layers, 32, ffnWidth),
    uniformGenome(layers, 16, ffnWidth * 0.75),
    uniformGenome(layers, 4, ffnWidth * 0.5),
    uniformGenome(layers, 0, ffnWidth),
  ].map((genome) => encodeGenome(genome));
}

/** NaN where the lengths differ, which no limit lets pass. */
function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length || a.length === 0) return Number.NaN;
  let largest = 0;
  for (let id = 0; id < a.length; id++)
    largest = Math.max(largest, Math.abs((a[id] as number) - (b[id] as number)));
  return largest;
}
