import { createRandom, restoreRandom } from '@fleetlora/shared/random';
import t from 'tap';

const draw = (count: number, next: () => number): number[] => Array.from({ length: count }, next);
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** xoshiro128** as its authors print it, in big integers: rotl(s1 · 5, 7) · 9. */
function* xoshiro(state: readonly number[]): Generator<number> {
  const word = (value: bigint): bigint => BigInt.asUintN(32, value);
  const rotate = (value: bigint, by: bigint): bigint => word((value << by) | (value >> (32n - by)));
  let [a = 0n, b = 0n, c = 0n, d = 0n] = state.map(BigInt);
  for (;;) {
    yield Number(word(rotate(word(b * 5n), 7n) * 9n));
    const shifted = word(b << 9n);
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11n);
  }
}

t.test('the sequence is xoshiro128**', async (t) => {
  for (const seed of [0, 1, 0xffffffff]) {
    const random = createRandom(seed);
    const wanted = xoshiro(random.state());
    t.same(
      draw(200, () => random.next() * 2 ** 32),
      draw(200, () => wanted.next().value as number),
      `seed ${seed}`,
    );
  }
});

t.test('equal seeds repeat, other seeds differ; a seed counts modulo 2^32', async (t) => {
  const first = (seed: number): number[] => {
    const random = createRandom(seed);
    return draw(5, () => random.next());
  };
  t.same(first(7), first(7));
  t.notSame(first(7), first(8));
  t.same(first(-1), first(2 ** 32 - 1));
  t.equal(new Set(Array.from({ length: 1000 }, (_, seed) => first(seed)[0])).size, 1000);
});

t.test('restoreRandom goes on where state() was taken; taking it changes nothing', async (t) => {
  const random = createRandom(3);
  draw(10, () => random.next());
  const state = random.state();
  t.ok(state.length === 4 && state.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32));
  const wanted = draw(50, () => random.next());
  const restored = restoreRandom(state);
  t.same(restored.state(), state);
  t.same(
    draw(50, () => restored.next()),
    wanted,
  );
});

t.test('below(n): 0 to n - 1, each about equally often', async (t) => {
  const random = createRandom(1);
  const counts = new Array(7).fill(0);
  for (let i = 0; i < 7000; i++) counts[random.below(7)]++;
  // 1,000 each with a standard deviation of 29.
  t.ok(
    counts.every((count) => count > 850 && count < 1150),
    counts.join(),
  );
  t.same(new Set(draw(20, () => random.below(1))), new Set([0]));
});

t.test('pick and shuffle: every element, and every order of three about equally often', async (t) => {
  const random = createRandom(2);
  const list = ['a', 'b', 'c'];
  t.same(new Set(draw(100, () => list.indexOf(random.pick(list)))), new Set([0, 1, 2]));
  const orders = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = random.shuffle(list).join('');
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  t.equal(orders.size, 6);
  t.ok([...orders.values()].every((count) => count > 850 && count < 1150));
  t.same(list, ['a', 'b', 'c'], 'the list itself stays as it was');
  t.same(random.shuffle([]), []);
});

t.test('next: in [0, 1), mean 1/2; normal: mean 0, variance 1, 95 % within 1.96', async (t) => {
  const random = createRandom(4);
  const uniform = draw(10_000, () => random.next());
  t.ok(uniform.every((value) => value >= 0 && value < 1));
  t.ok(Math.abs(mean(uniform) - 0.5) < 0.015);
  const normal = draw(10_000, () => random.normal());
  t.ok(normal.every(Number.isFinite));
  t.ok(Math.abs(mean(normal)) < 0.05);
  t.ok(Math.abs(mean(normal.map((value) => value * value)) - 1) < 0.07);
  t.ok(Math.abs(mean(normal.map((value) => (Math.abs(value) < 1.96 ? 1 : 0))) - 0.95) < 0.01);
});
