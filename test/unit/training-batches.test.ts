import { BatchOrder, packMicroBatches } from '@fleetlora/coordinator/training';
import { createRandom, restoreRandom } from '@fleetlora/shared/random';
import type { TokenRow } from '@fleetlora/shared/text';
import t from 'tap';

const row = (length: number): TokenRow => ({ ids: new Int32Array(length), targetStart: 1 });
const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);
const all = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

for (const [rows, batch] of [
  [10, 4],
  [10, 10],
  [3, 7],
  [1, 1],
] as const) {
  t.test(
    `${rows} rows in batches of ${batch}: every epoch has each row once, in an order of its own`,
    async (t) => {
      const order = new BatchOrder(rows, createRandom(1));
      const drawn: number[] = [];
      while (drawn.length < 4 * rows * batch) {
        const next = order.next(batch);
        t.equal(next.length, batch);
        drawn.push(...next);
      }
      const epochs = all(4 * batch).map((epoch) => drawn.slice(epoch * rows, (epoch + 1) * rows));
      for (const epoch of epochs) t.same(sorted(epoch), all(rows));
      if (rows > 3) t.notSame(epochs[0], epochs[1]);
    },
  );
}

t.test('order goes on from the rows that remained and the generator’s state', async (t) => {
  const random = createRandom(5);
  const order = new BatchOrder(10, random);
  order.next(7);
  t.equal(order.remaining().length, 3);
  const remaining = [...order.remaining()];
  const state = random.state();
  const wanted = [order.next(6), order.next(6)];
  const resumed = new BatchOrder(10, restoreRandom(state), remaining);
  t.same([resumed.next(6), resumed.next(6)], wanted);
});

t.test('micro-batches: longest first, rows × longest within the budget, all rows once', async (t) => {
  const rows = [5, 2, 8, 3, 8, 1].map(row);
  const batches = packMicroBatches(rows, 16);
  // 8, 8 fill 16 exactly; 5, 3, 2 take 15 of 16; 1 is left.
  t.same(
    batches.map(({ length, rows }) => [length, rows.map(({ ids }) => ids.length)]),
    [
      [8, [8, 8]],
      [5, [5, 3, 2]],
      [1, [1]],
    ],
  );
  t.same(new Set(batches.flatMap(({ rows }) => rows)), new Set(rows));
});

t.test(
  'micro-batches: budget 16 holds two rows of 8; 15 holds one; a row longer than the budget stands alone',
  async (t) => {
    const pair = [row(8), row(8)];
    t.equal(packMicroBatches(pair, 16).length, 1);
    t.equal(packMicroBatches(pair, 15).length, 2);
    t.same(
      packMicroBatches([row(40), row(2)], 16).map(({ length, rows }) => [length, rows.length]),
      [
        [40, 1],
        [2, 1],
      ],
    );
    t.same(packMicroBatches([], 16), []);
  },
);
