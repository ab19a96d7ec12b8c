import type { ModelShape } from '@fleetlora/shared/graph';
import { type Genome, type LayerGenome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
import { cutCandidate, type ModelOrders, placeMatrix, placeSide } from '@fleetlora/shared/weights';
import t from 'tap';
import { tinyShape } from '../lib/tiny-model.js';

/** 3 layers, 6 query heads of 16 over 3 key/value heads, FFN of 4. */
const shape: ModelShape = {
  ...tinyShape,
  layers: 3,
  hidden: 16,
  heads: 6,
  kvHeads: 3,
  ffnWidth: 4,
};
const ranks = { qkv: 1, o: 1, gateUp: 1, down: 1 };
const layer = (width: number, kvHeads?: number): LayerGenome => ({
  ranks,
  width,
  ...(kvHeads !== undefined && { kvHeads }),
});
const genome = (...layers: LayerGenome[]): Genome => ({ form: 'unmerged', layers });
/** Channels and heads of every layer sorted as 2, 0, 3, 1 and 1, 2, 0. */
const orders: ModelOrders = {
  ffnOrder: Int32Array.from([0, 1, 2].flatMap(() => [2, 0, 3, 1])),
  headOrder: Int32Array.from([0, 1, 2].flatMap(() => [1, 2, 0])),
};

t.test('ranks alone leave the model whole, and places go back to where they were', async (t) => {
  const cut = cutCandidate(shape, uniformGenome(3, 1, 4));
  t.ok(cut.isWhole);
  t.same(cut.shape, shape);
  // Channel 0 lies at place 1, 1 at 3, 2 at 0, 3 at 2.
  t.same([...(placeSide(cut, orders, 1, 'ffn') ?? [])], [1, 3, 0, 2]);
  const heads = [...(placeSide(cut, orders, 1, 'kvHeads') ?? [])];
  t.equal(heads.length, 48);
  t.same([heads[0], heads[16], heads[32]], [32, 0, 16], 'head 0 lies at place 2, 1 at 0, 2 at 1');
  const queries = [...(placeSide(cut, orders, 1, 'queryHeads') ?? [])];
  t.same([queries[0], queries[32], queries[64]], [64, 0, 32], 'two query heads go with each');
  t.equal(placeSide(cut, orders, 1, 'hidden'), null);
  const plain = {
    ffnOrder: Int32Array.from([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]),
    headOrder: new Int32Array(9),
  };
  t.equal(placeSide(cut, plain, 0, 'ffn'), null, 'nothing to do where the order is the own one');
});

t.test('a cut model is as wide as its widest layer; narrower ones are filled up with zeros', async (t) => {
  const cut = cutCandidate(shape, genome(layer(2, 1), skippedLayer, layer(3, 2)));
  t.notOk(cut.isWhole);
  // 16 is a multiple of 2 · 2 heads.
  t.match(cut.shape, { layers: 2, ffnWidth: 3, kvHeads: 2, heads: 4, hidden: 16 });
  t.same(
    cut.layers.map((active) => active.layer),
    [0, 2],
  );
  t.same([...(placeSide(cut, orders, 0, 'ffn') ?? [])], [0, 1, -1], 'sorted, as the base has them');
  t.same([...(placeSide(cut, orders, 1, 'ffn') ?? [])], [0, 1, 2]);
  const heads = [...(placeSide(cut, orders, 0, 'kvHeads') ?? [])];
  t.equal(heads.length, 32);
  t.same(heads.slice(14, 18), [14, 15, -1, -1]);
  t.equal(placeSide(cut, orders, 0, 'queryHeads')?.filter((place) => place < 0).length, 32);
});

t.test(
  'heads that do not divide the hidden size are filled up to a number that does, or to all',
  async (t) => {
    const wide = { ...shape, hidden: 24, heads: 8, kvHeads: 4 };
    // 24 is a multiple of 3 · 2 heads, 16 is not, but of 2 · 2.
    t.equal(cutCandidate(wide, genome(layer(4, 3), layer(4, 1), layer(4, 1))).shape.kvHeads, 3);
    const other = { ...shape, hidden: 16, heads: 8, kvHeads: 4 };
    t.equal(cutCandidate(other, genome(layer(4, 3), layer(4, 1), layer(4, 1))).shape.kvHeads, 4);
    t.equal(cutCandidate(other, genome(layer(4, 2), layer(4, 1), layer(4, 1))).shape.kvHeads, 2);
    // Of 16 no multiple of 6 heads exists: all three stay.
    t.equal(cutCandidate(shape, genome(layer(4), layer(4, 1), layer(4, 1))).shape.kvHeads, 3);
  },
);

t.test('a Qwen2 keeps heads as wide together as its hidden size, which llama.cpp wants', async (t) => {
  const qwen: ModelShape = {
    ...shape,
    architecture: 'qwen2',
    qkvBias: true,
    hidden: 64,
    heads: 4,
    kvHeads: 2,
  };
  const { shape: cut } = cutCandidate(qwen, genome(layer(4, 1), layer(4, 1), layer(4, 1)));
  t.match(cut, { heads: 4, kvHeads: 2 });
  const llama: ModelShape = { ...qwen, architecture: 'llama' };
  t.match(cutCandidate(llama, genome(layer(4, 1), layer(4, 1), layer(4, 1))).shape, { heads: 2, kvHeads: 1 });
});

t.test('widths that are equal and below the base cut it; one layer left out does too', async (t) => {
  t.notOk(cutCandidate(shape, uniformGenome(3, 1, 3)).isWhole);
  t.notOk(cutCandidate(shape, genome(layer(4), skippedLayer, layer(4))).isWhole);
  const cut = cutCandidate(shape, genome(layer(4), skippedLayer, layer(4)));
  t.equal(placeSide(cut, orders, 1, 'ffn'), null, 'all of it, in the sorted order');
});

t.test('placing a matrix [3, 2]: rows, columns, both, neither', async (t) => {
  const matrix = Float32Array.of(1, 2, 3, 4, 5, 6);
  const places = (...numbers: number[]) => Int32Array.from(numbers);
  t.equal(placeMatrix(matrix, 2, null, null), matrix, 'not copied');
  t.same([...placeMatrix(matrix, 2, places(2, -1, 0), null)], [5, 6, 0, 0, 1, 2]);
  t.same([...placeMatrix(matrix, 2, null, places(1, 0, -1))], [2, 1, 0, 4, 3, 0, 6, 5, 0]);
  t.same([...placeMatrix(matrix, 2, places(1), places(1))], [4]);
});
