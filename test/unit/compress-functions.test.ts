import { pruneRows, readMerge, readPruning, requantiseBlocks } from '@fleetlora/shared/compress';
import { dequantiseBlocks, packBlock, quantBlockBytes, quantZero } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const pruned = (rows: number[][], norms: number[], sparsity: number): number[][] => {
  const matrix = Float32Array.from(rows.flat());
  pruneRows(matrix, Float64Array.from(norms), sparsity);
  return rows.map((row, i) => [...matrix.subarray(i * row.length, (i + 1) * row.length)]);
};

t.test('pruneRows: in each row the floor of the share, by size times norm, ties from the left', async (t) => {
  t.same(
    pruned(
      [
        [1, -2, 3, -4],
        [4, 3, -2, 1],
      ],
      [1, 1, 1, 1],
      0.5,
    ),
    [
      [0, 0, 3, -4],
      [4, 3, 0, 0],
    ],
  );
  // Scores 8, 2, 3, 4 and 8, 3, 8, 1.
  t.same(
    pruned(
      [
        [1, -2, 3, -4],
        [1, -3, 8, 1],
      ],
      [8, 1, 1, 1],
      0.5,
    ),
    [
      [1, 0, 0, -4],
      [1, 0, 8, 0],
    ],
  );
  t.same(pruned([[1, -1, 1, 1]], [1, 1, 1, 1], 0.5), [[0, 0, 1, 1]], 'of equal ones the first');
  t.same(pruned([[2, 1, 1, 1]], [1, 1, 1, 1], 0.5), [[2, 0, 0, 1]], 'and no more than wanted');
  t.same(pruned([[1, 2, 3, 4, 5]], [1, 1, 1, 1, 1], 0.5), [[0, 0, 3, 4, 5]], 'the floor of 2.5');
  t.same(pruned([[5, 6]], [1, 1], 0.49), [[5, 6]], 'none of 0.98');
  t.same(pruned([[5, 6, 7]], [0, 1, 0], 0.4), [[0, 6, 7]], 'an input that is always 0 counts least');
  t.same(pruned([[0, 0, 7, 1]], [1, 1, 1, 1], 0.25), [[0, 0, 7, 1]], 'zeros are among the least');
});

t.test('pruneRows refuses impossible shares and weights', async (t) => {
  for (const sparsity of [0, 1, -0.1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    t.throws(() => pruned([[1, 2]], [1, 1], sparsity), coded('BAD_REQUEST', `sparsity is ${sparsity}`));
  t.same(pruned([[1, 2]], [1, 1], 1 - 1e-9), [[0, 2]], 'just inside');
  t.throws(
    () =>
      pruned(
        [
          [1, 2],
          [3, Number.NaN],
        ],
        [1, 1],
        0.5,
      ),
    coded('WEIGHT_NOT_FINITE', 'weight 1 of row 1'),
  );
});

for (const precision of ['q8', 'q4'] as const) {
  const zero = quantZero[precision];
  const pack = (numbers: readonly number[]): Uint8Array => {
    const q = new Uint8Array(quantBlockBytes(precision));
    packBlock(
      numbers.map((n) => n + zero),
      precision,
      q,
    );
    return q;
  };
  const block = (values: readonly number[], fill: number): number[] =>
    Array.from({ length: 32 }, (_, i) => values[i] ?? fill);

  t.test(`requantiseBlocks ${precision}: nearest numbers at the scale that is there`, async (t) => {
    const scale = Float32Array.of(0.25);
    const before = { q: pack(block([1, 0, -3, 2, 5, 1, 1, -1], 1)), scale };
    // In steps of the scale: 1.6, none, -3.5, 2.5, far above, far below, 0.4, -0.5.
    const values = block([0.4, 9, -0.875, 0.625, 1000, -1000, 0.1, -0.125], 0.25);
    const after = requantiseBlocks(Float32Array.from(values), before, precision);
    t.same(
      after,
      pack(block([2, 0, -4, 2, zero - 1, -zero, 0, 0], 1)),
      'halves go to the even number, what is beyond the last one there is to that one, a 0 stays',
    );
    const unchanged = dequantiseBlocks(before, precision);
    t.same(requantiseBlocks(unchanged, before, precision), before.q, 'unchanged weights, unchanged numbers');
  });

  t.test(`requantiseBlocks ${precision}: a negative scale, and one of 0`, async (t) => {
    const negative = { q: pack(block([], 1)), scale: Float32Array.of(-0.5) };
    t.same(requantiseBlocks(new Float32Array(32).fill(1), negative, precision), pack(block([], -2)));
    const none = { q: pack(block([3], 0)), scale: Float32Array.of(0) };
    t.same(requantiseBlocks(new Float32Array(32).fill(1), none, precision), none.q);
  });

  t.test(`requantiseBlocks ${precision} refuses what does not match`, async (t) => {
    const blocks = { q: pack(block([], 1)), scale: Float32Array.of(1) };
    for (const count of [31, 33, 0])
      t.throws(
        () => requantiseBlocks(new Float32Array(count), blocks, precision),
        coded('WEIGHT_SHAPE', `${count} weights`, 'wanted 32'),
      );
    t.throws(
      () => requantiseBlocks(new Float32Array(32), { ...blocks, q: blocks.q.subarray(1) }, precision),
      coded('WEIGHT_SHAPE', `${blocks.q.length - 1} bytes`),
    );
    t.throws(
      () => requantiseBlocks(new Float32Array(32).fill(Number.NaN), blocks, precision),
      coded('WEIGHT_NOT_FINITE', 'weight 0'),
    );
  });
}

t.test('records of pruning and merging are read back, and broken ones named', async (t) => {
  const digest = 'a'.repeat(64);
  const pruning = {
    method: 'wanda',
    sparsity: 0.5,
    baseDigest: digest,
    datasetDigest: digest,
    rows: 2,
    tokens: 9,
  };
  const merged = { baseDigest: digest, adapterDigest: digest, genome: 'g1:u:1.1.1.1.24' };
  const read = (value: unknown) => readPruning({ metadata: { pruning: JSON.stringify(value) } });
  t.same(read(pruning), pruning);
  t.same(readMerge({ metadata: { merged: JSON.stringify(merged) } }), merged);
  t.equal(readPruning({ metadata: {} }), null);
  t.equal(readMerge({ metadata: {} }), null);
  for (const [key, value] of [
    ['method', 'magnitude'],
    ['sparsity', 0],
    ['sparsity', 1],
    ['sparsity', '0.5'],
    ['baseDigest', 'a'.repeat(63)],
    ['datasetDigest', null],
    ['rows', -1],
    ['tokens', 1.5],
  ] as const)
    t.throws(() => read({ ...pruning, [key]: value }), coded('MODEL_CONFIG', key), `${key} ${value}`);
  for (const text of ['', '{', '[]', 'null', '3', `"${'x'.repeat(9000)}"`, '['.repeat(5000)])
    t.throws(() => readPruning({ metadata: { pruning: text } }), coded('MODEL_CONFIG', 'pruning'));
});
