import {
  loadAdapterFactors,
  openDecoder,
  openSharedDecoder,
  resolveCandidate,
} from '@fleetlora/shared/engine';
import { buildInferenceGraph, type LoraSource, moduleNames } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { Runtime, Tensor } from '@fleetlora/shared/runtime';
import { encodeGenome, type Genome, shapeOf, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { readPlainLlama } from '../lib/plain-llama.js';
import { largestDifference, runLogits } from '../lib/run-logits.js';
import { merged, tinyGenomes } from '../lib/tiny-genomes.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

/** Single precision, 6e-8 relative, through some hundred sums of logits up to 10. */
const SINGLE = 5e-5;
const ids = Array.from(randomRows(tinyShape, [10], { seed: 3 })[0]?.ids ?? []);
const options = { threads: 1, positions: 16 };

/** Candidates of the same shape with other ranks: every rank above 0 mapped by `rankOf`. */
function withRanks(genome: Genome, rankOf: (rank: number) => number): Genome {
  const map = (rank: number): number => (rank === 0 ? 0 : rankOf(rank));
  const layers = genome.layers.map(({ ranks, width }) => ({
    ranks: { qkv: map(ranks.qkv), o: map(ranks.o), gateUp: map(ranks.gateUp), down: map(ranks.down) },
    width,
  }));
  return { ...genome, layers };
}
const batchOf = (genome: Genome): Genome[] => [
  genome,
  withRanks(genome, () => 1),
  withRanks(genome, () => 4),
  withRanks(genome, (rank) => 5 - rank),
];
const openShared = (model: TinyModel, genomes: readonly Genome[], runtime: Runtime = createNodeRuntime()) =>
  openSharedDecoder(runtime, { ...model, overlay: model.adapter }, genomes, options);

function transposed({ type, dims: [rows = 0, columns = 0], data }: Tensor): Tensor {
  const turned = Float32Array.from({ length: data.length }, (_, at) =>
    Number(data[(at % rows) * columns + Math.floor(at / rows)]),
  );
  return { type, dims: [columns, rows], data: turned };
}
function doubled({ type, dims, data }: Tensor): Tensor {
  return { type, dims, data: Float32Array.from(data as Float32Array, (value) => 2 * value) };
}

/** The runtime, with the feeds of every run written down. */
function recordingRuntime(): { runtime: Runtime; runs: Record<string, Tensor>[] } {
  const inner = createNodeRuntime();
  const runs: Record<string, Tensor>[] = [];
  const runtime: Runtime = {
    ...inner,
    async createSession(graph, sessionOptions) {
      const session = await inner.createSession(graph, sessionOptions);
      return {
        run(feeds, fetches, kept = []) {
          runs.push(Object.assign({}, feeds, ...kept));
          return session.run(feeds, fetches, kept);
        },
        release: () => session.release(),
      };
    },
  };
  return { runtime, runs };
}

for (const [name, genome] of Object.entries(tinyGenomes)) {
  t.test(`${name}: four choices of ranks give the logits of their own sessions`, async (t) => {
    const model = await createTinyModel(t.testdir());
    const plain = await readPlainLlama(model);
    const genomes = batchOf(genome);
    const shared = await openShared(model, genomes);
    t.equal(shared.size, 4);
    t.equal(shared.vocab, tinyShape.vocab);
    t.equal(shared.positions, 16);
    for (const index of [2, 0, 3, 1]) {
      const own = await openDecoder(
        createNodeRuntime(),
        { ...model, overlay: model.adapter, genome: genomes[index] as Genome },
        options,
      );
      const wanted = plain.logits(ids, genomes[index] as Genome);
      shared.use(index);
      t.equal(shared.current, index);
      shared.reset();
      let off = 0;
      for (const piece of [ids.slice(0, 7), ids.slice(7, 8), ids.slice(8)]) {
        const found = Float32Array.from(await shared.prefill(piece));
        off = Math.max(
          off,
          largestDifference(found, await own.prefill(piece)),
          largestDifference(found, wanted[shared.length - 1] as Float64Array),
        );
      }
      t.ok(off < SINGLE, `candidate ${index} is ${off} off`);
      await own.close();
    }
    await shared.close();
  });
}

t.test('weights mapped instead of prepacked: the same logits', async (t) => {
  const model = await createTinyModel(t.testdir());
  const genomes = batchOf(tinyGenomes['rank 1, width 12 everywhere'] as Genome);
  const plain = await readPlainLlama(model);
  const shared = await openSharedDecoder(createNodeRuntime(), { ...model, overlay: model.adapter }, genomes, {
    ...options,
    weights: 'mapped',
  });
  shared.use(3);
  const wanted = plain.logits(ids, genomes[3] as Genome).at(-1) as Float64Array;
  t.ok(largestDifference(await shared.prefill(ids), wanted) < SINGLE);
  await shared.close();
});

t.test('back and forth in one cache: no candidate leaves a trace in another', async (t) => {
  const model = await createTinyModel(t.testdir());
  const shared = await openShared(model, batchOf(tinyGenomes['rank 4, width 24 everywhere'] as Genome));
  const run = async (index: number): Promise<Float32Array> => {
    shared.use(index);
    shared.reset();
    return Float32Array.from(await shared.prefill(ids));
  };
  const first = [await run(0), await run(1)] as const;
  t.ok(largestDifference(first[0], first[1]) > 0.1, 'the candidates are far from each other');
  for (const index of [1, 0, 0, 3, 1, 2, 0, 1] as const) {
    const again = await run(index);
    if (index < 2) t.strictSame(again, first[index as 0 | 1], `candidate ${index}`);
  }
  await shared.close();
});

t.test('a switch keeps the cache: each position has the keys and values of who wrote it', async (t) => {
  const model = await createTinyModel(t.testdir());
  const plain = await readPlainLlama(model);
  const genomes = batchOf(tinyGenomes['every group and layer its own rank, widths 12 and 18'] as Genome);
  const shared = await openShared(model, genomes);
  // Who computes the 10 tokens: four of candidate 0, then one each.
  const writers = [0, 0, 0, 0, 2, 3, 1, 0, 2, 1];
  const byPosition = writers.map((writer) => genomes[writer] as Genome);
  const wanted = plain.logits(ids, byPosition);
  let logits = await shared.prefill(ids.slice(0, 4));
  for (const [position, writer] of writers.entries()) {
    if (position < 4) continue;
    shared.use(writer);
    t.equal(shared.length, position, 'the length stays');
    logits = await shared.step(ids[position] as number);
    t.ok(largestDifference(logits, wanted[position] as Float64Array) < SINGLE, `position ${position}`);
  }
  const alone = plain.logits(ids, genomes[1] as Genome).at(-1) as Float64Array;
  t.ok(largestDifference(logits, alone) > 0.01, 'the last candidate alone would have other logits');
  await shared.close();
});

t.test(
  'a genome that is there twice has factors of its own: A transposed, B with the scale of 2 in it',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const { runtime, runs } = recordingRuntime();
    const genome = tinyGenomes['rank 0 in some groups, widths 24 and 1'] as Genome;
    const shared = await openShared(model, [genome, withRanks(genome, () => 3), genome], runtime);
    const logits: Float32Array[] = [];
    for (const index of [0, 2]) {
      shared.use(index);
      shared.reset();
      logits.push(Float32Array.from(await shared.prefill(ids)));
    }
    t.strictSame(logits[1], logits[0], 'the very same sums');
    const factors = await loadAdapterFactors(model.adapter.file, model.shape);
    const [first = {}, twin = {}] = runs;
    const names = Object.keys(first).filter((name) => /^layers\./.test(name));
    // Layer 0: o and down. Layer 1: q, k, v, gate and up.
    t.equal(names.length, 2 * 7, 'factors of rank 0 are no inputs');
    for (const name of names) {
      const [a, b] = [first[name], twin[name]] as [Tensor, Tensor];
      t.strictSame(b.data, a.data);
      const stored = factors.feeds(genome)[name] as Tensor;
      t.strictSame(a, name.endsWith('.A') ? transposed(stored) : doubled(stored), name);
      t.equal((b.data.byteOffset - a.data.byteOffset) % 4096, 0, 'at the same place of another page');
      t.equal(a.data.byteOffset % 64, 0, 'on a cache line');
      a.data.fill(0 as never);
      t.ok((b.data as Float32Array).every(Boolean), 'the other keeps its values');
    }
    await shared.close();
  },
);

for (const modules of [['q', 'v'], ['gate', 'up', 'down'], ['o']] as const) {
  t.test(`super-adapter of ${modules.join(', ')} alone: the other modules have no inputs`, async (t) => {
    const model = await createTinyModel(t.testdir(), { modules });
    const plain = await readPlainLlama(model);
    const { runtime, runs } = recordingRuntime();
    const genomes = batchOf(uniformGenome(2, 3, 18));
    const shared = await openShared(model, genomes, runtime);
    for (const [index, genome] of genomes.entries()) {
      shared.use(index);
      shared.reset();
      const wanted = plain.logits(ids, genome).at(-1) as Float64Array;
      t.ok(largestDifference(await shared.prefill(ids), wanted) < SINGLE, `candidate ${index}`);
    }
    const inputs = Object.keys(runs[0] ?? {}).filter((name) => /^layers\./.test(name));
    t.equal(inputs.length, 2 * 2 * modules.length);
    await shared.close();
  });
}

t.test('graph of a comparison: as many Gemm as that of constants, also where ranks are 0', async (t) => {
  const model = await createTinyModel(t.testdir());
  const genome = tinyGenomes['rank 0 in some groups, widths 24 and 1'] as Genome;
  const resolved = resolveCandidate({ ...model, overlay: model.adapter, genome });
  const countGemm = (lora: LoraSource): number => {
    const graph = buildInferenceGraph({
      ...resolved,
      lora,
      loraModules: moduleNames,
      head: 'logits',
      cachePositions: 0,
    });
    // NodeProto.op_type is field 4: its tag, the length, the name.
    return Buffer.from(graph).toString('latin1').split('\x22\x04Gemm').length - 1;
  };
  // 14 modules and the head; two more for each module with an adapter: 2 in layer 0, 5 in layer 1.
  t.equal(countGemm('none'), 15);
  t.equal(countGemm('constants'), 15 + 2 * 7);
  t.equal(countGemm('timedInputs'), 15 + 2 * 7);
  t.equal(countGemm('inputs'), 15 + 2 * 14, 'inputs serve every rank');
});

t.test('one graph with all inputs present serves ranks 0 too', async (t) => {
  const model = await createTinyModel(t.testdir());
  const plain = await readPlainLlama(model);
  const factors = await loadAdapterFactors(model.adapter.file, model.shape);
  const full = uniformGenome(2, 4, 24);
  const resolved = {
    ...resolveCandidate({ ...model, overlay: model.adapter, genome: full }),
    lora: 'inputs' as const,
  };
  for (const genome of [full, uniformGenome(2, { qkv: 0, o: 2, gateUp: 0, down: 1 }, 24)]) {
    const inputs = { modules: moduleNames, feeds: factors.feeds(genome) };
    const found = await runLogits({ resolved, folder: model.folder, ids, inputs });
    const wanted = plain.logits(ids, genome).flatMap((row) => Array.from(row));
    t.ok(largestDifference(found, wanted) < SINGLE, encodeGenome(genome));
  }
});

t.test('refused: other shapes, merged candidates, none at all, and an index outside', async (t) => {
  const model = await createTinyModel(t.testdir());
  const first = uniformGenome(2, 2, 24);
  for (const other of [
    uniformGenome(2, 2, 12),
    uniformGenome(2, { qkv: 2, o: 0, gateUp: 2, down: 2 }, 24),
    uniformGenome(1, 2, 24),
  ])
    await t.rejects(
      openShared(model, [first, uniformGenome(2, 3, 24), other]),
      coded('BAD_REQUEST', shapeOf(first), shapeOf(other)),
    );
  await t.rejects(
    openShared(model, [merged(first)]),
    coded('BAD_REQUEST', encodeGenome(merged(first)), 'unmerged'),
  );
  await t.rejects(openShared(model, []), coded('BAD_REQUEST', '0 candidates', 'at least 1'));
  for (const positions of [0, 33])
    await t.rejects(
      openSharedDecoder(createNodeRuntime(), { ...model, overlay: model.adapter }, [first], {
        threads: 1,
        positions,
      }),
      coded('BAD_REQUEST', positions, '1 to 32'),
    );
  const shared = await openShared(model, [first, first]);
  shared.use(1);
  for (const index of [-1, 2, 0.5, Number.NaN])
    t.throws(() => shared.use(index), coded('BAD_REQUEST', index, '0 to 1'));
  t.equal(shared.current, 1, 'a refused index changes nothing');
  await shared.close();
});
