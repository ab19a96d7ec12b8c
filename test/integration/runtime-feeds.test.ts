import { GraphBuilder } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { floatTensor, int32Tensor, int64Tensor, type RuntimeSession } from '@fleetlora/shared/runtime';
import t from 'tap';

/** y = x·w of [2, 3] and [3, 2]. */
function openProduct(): Promise<RuntimeSession> {
  const builder = new GraphBuilder('product');
  const x = builder.input('x', 'float32', [2, 3]);
  const w = builder.input('w', 'float32', [3, 2]);
  builder.node('MatMul', [x, w], {}, 'y');
  builder.output('y', 'float32', [2, 2]);
  return createNodeRuntime().createSession(builder.finish(), { threads: 1 });
}
const x = floatTensor([2, 3], Float32Array.of(1, 0, 0, 0, 1, 1));

t.test(
  'a feed of several runs whose data is changed in place: each run sees the data of its time',
  async (t) => {
    const session = await openProduct();
    const w = floatTensor([3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
    const run = async (): Promise<number[]> =>
      Array.from((await session.run({ x, w }, ['y'])).y?.data ?? [], Number);
    t.same(await run(), [1, 2, 8, 10]);
    t.same(await run(), [1, 2, 8, 10]);
    w.data[0] = 100;
    t.same(await run(), [100, 2, 8, 10]);
    w.data.set([7, 7, 7, 7, 7, 7] as never);
    t.same(await run(), [7, 7, 14, 14]);
    await session.release();
  },
);

t.test('kept inputs: their data may change, and a record of others takes their place', async (t) => {
  const session = await openProduct();
  const w = floatTensor([3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
  const records = [{ w }, { w: floatTensor([3, 2], new Float32Array(6).fill(2)) }];
  const run = async (record: number): Promise<number[]> =>
    Array.from((await session.run({ x }, { y: null }, [records[record] ?? {}])).y?.data ?? [], Number);
  t.same(await run(0), [1, 2, 8, 10]);
  w.data[0] = 100;
  t.same(await run(0), [100, 2, 8, 10]);
  t.same(await run(1), [2, 2, 4, 4]);
  t.same(await run(0), [100, 2, 8, 10]);
  structuredClone(w.data.buffer, { transfer: [w.data.buffer as ArrayBuffer] });
  await t.rejects(run(0), /size\(6\) does not match data length\(0\)/);
  await session.release();
});

t.test('one tensor over memory that another tensor views: a change through either is seen', async (t) => {
  const session = await openProduct();
  const memory = new Float32Array(20);
  const w = floatTensor([3, 2], memory.subarray(5, 11));
  memory.fill(2);
  t.same(Array.from((await session.run({ x, w }, ['y'])).y?.data ?? [], Number), [2, 2, 4, 4]);
  memory.fill(3);
  t.same(Array.from((await session.run({ x, w }, ['y'])).y?.data ?? [], Number), [3, 3, 6, 6]);
  await session.release();
});

t.test('the same tensor in two sessions and under two names', async (t) => {
  const builder = new GraphBuilder('sum');
  const a = builder.input('a', 'float32', [2, 3]);
  const b = builder.input('b', 'float32', [2, 3]);
  builder.node('Add', [a, b], {}, 'c');
  builder.output('c', 'float32', [2, 3]);
  const runtime = createNodeRuntime();
  const graph = builder.finish();
  const sessions = [
    await runtime.createSession(graph, { threads: 1 }),
    await runtime.createSession(graph, { threads: 1 }),
  ];
  for (const session of sessions) {
    const results = await session.run({ a: x, b: x }, ['c']);
    t.same(Array.from(results.c?.data ?? [], Number), [2, 0, 0, 0, 2, 2]);
    await session.release();
  }
});

t.test(
  'a tensor to write to: it has the result, is what the run returns, and may be read by the next',
  async (t) => {
    const session = await openProduct();
    const y = floatTensor([2, 2], new Float32Array(4));
    const w = floatTensor([3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
    for (const first of [1, 9]) {
      w.data[0] = first;
      const results = await session.run({ x, w }, { y });
      t.equal(results.y, y);
      t.same(Array.from(y.data, Number), [first, 2, 8, 10]);
    }
    const asked = await session.run({ x, w }, { y: null });
    t.not(asked.y, y, 'null asks for a new one');
    t.same(Array.from(asked.y?.data ?? [], Number), [9, 2, 8, 10]);
    await session.release();
  },
);

t.test('a tensor whose memory was given away after a run is refused, and does no harm', async (t) => {
  const session = await openProduct();
  const w = floatTensor([3, 2], new Float32Array(6));
  await session.run({ x, w }, ['y']);
  structuredClone(w.data.buffer, { transfer: [w.data.buffer as ArrayBuffer] });
  t.equal(w.data.length, 0);
  await t.rejects(session.run({ x, w }, ['y']), /size\(6\) does not match data length\(0\)/);
  await session.release();
});

t.test('whole numbers of both widths, and a feed that is missing', async (t) => {
  const builder = new GraphBuilder('cast');
  builder.node('Cast', [builder.input('wide', 'int64', ['N'])], { to: 1 }, 'fromWide');
  builder.node('Cast', [builder.input('narrow', 'int32', ['N'])], { to: 1 }, 'fromNarrow');
  for (const name of ['fromWide', 'fromNarrow']) builder.output(name, 'float32', ['N']);
  const session = await createNodeRuntime().createSession(builder.finish(), { threads: 1 });
  const wide = int64Tensor([2], [3, -4]);
  const narrow = int32Tensor([2], [5, -6]);
  for (const shift of [0, 1]) {
    wide.data[0] = BigInt(3 + shift);
    narrow.data[1] = -6 + shift;
    const { fromWide, fromNarrow } = await session.run({ wide, narrow }, ['fromWide', 'fromNarrow']);
    t.same(Array.from(fromWide?.data ?? [], Number), [3 + shift, -4]);
    t.same(Array.from(fromNarrow?.data ?? [], Number), [5, -6 + shift]);
  }
  await t.rejects(session.run({ wide }, ['fromWide']), /narrow/);
  await session.release();
});
