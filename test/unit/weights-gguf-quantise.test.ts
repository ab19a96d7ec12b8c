import {
  bufferSource,
  type GgufDtype,
  ggufTensorTypes,
  quantiseQ40,
  quantiseQ80,
  readGguf,
  readGgufRows,
  writeGguf,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const block = (values: readonly number[]): Float32Array => {
  const all = new Float32Array(32);
  all.set(values);
  return all;
};

const widen = (name: GgufDtype, blocks: Uint8Array): Float32Array => {
  const type = [...ggufTensorTypes.values()].find((one) => one.name === name);
  if (!type) throw new Error(`no type ${name}`);
  return type.dequantise(blocks);
};

t.test('Q8_0: the largest magnitude becomes 127 or -127, halves go away from zero', (t) => {
  const bytes = quantiseQ80(block([-127, 0.5, -0.5, 2.5, 126.4, 126.5]));
  // 1 as F16, then signed numbers.
  t.same([...bytes.subarray(0, 9)], [0x00, 0x3c, 256 - 127, 1, 256 - 1, 3, 126, 127, 0]);
  t.equal(bytes.length, 34);
  t.same([...quantiseQ80(block([]))], new Array(34).fill(0));
  t.throws(() => quantiseQ80(block([1, Number.NaN])), coded('WEIGHT_NOT_FINITE', 'NaN'));
  t.end();
});

t.test('Q4_0: the extreme becomes -8 by a scale of its sign, value j + 16 lies above value j', (t) => {
  const values = block([-8, 0.5, -0.5, 7]);
  values[16] = 3;
  values[17] = -4;
  // Numbers are 8 more: 0, 9 (0.5 rounds up), 8, 15, and 8 for zeros.
  const bytes = quantiseQ40(values);
  t.same([...bytes.subarray(0, 7)], [0x00, 0x3c, 0 | (11 << 4), 9 | (4 << 4), 0x88, 15 | (8 << 4), 0x88]);
  t.equal(bytes.length, 18);
  // -1 as F16. What lies opposite to the extreme is cut to 7 steps.
  t.same([...quantiseQ40(block([8, -8])).subarray(0, 4)], [0x00, 0xbc, 0x80, 0x8f]);
  // Nothing over -8 is -0.
  t.same([...quantiseQ40(block([]))], [0x00, 0x80, ...new Array(16).fill(0x88)]);
  t.end();
});

t.test('what blocks stand for is quantised to the same blocks again', (t) => {
  const values = Float32Array.from({ length: 320 }, (_, i) => Math.sin(i) * 2 ** (i / 40));
  const q8 = quantiseQ80(values);
  t.same(quantiseQ80(widen('Q8_0', q8)), q8);
  const q4 = quantiseQ40(values);
  t.same(quantiseQ40(widen('Q4_0', q4)), q4);
  t.end();
});

t.test('files of either type are read back, rows that are no whole blocks are refused', async (t) => {
  const values = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i));
  const write = async (dtype: GgufDtype, shape: readonly number[]): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    const read = async function* () {
      yield values.subarray(0, 64);
      yield values.subarray(64);
    };
    const sink = { write: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
    await writeGguf(sink, {}, [
      { name: 'a', dtype, shape, read },
      { name: 'b', dtype: 'F32', shape: [192], read },
    ]);
    return new Uint8Array(Buffer.concat(parts));
  };
  for (const [dtype, steps] of [
    ['Q8_0', 127],
    ['Q4_0', 8],
  ] as const) {
    const file = await readGguf(bufferSource(await write(dtype, [3, 64])));
    const a = file.tensors.get('a');
    const b = file.tensors.get('b');
    if (!a || !b) throw new Error('no tensors');
    t.equal(a.type.name, dtype);
    const found = await readGgufRows(file, a, 0, 3);
    // Sines reach 1. What is opposite to the extreme may be a whole step off in Q4_0.
    const worst = Math.max(...found.map((value, i) => Math.abs(value - (values[i] as number))));
    t.ok(worst > 0 && worst < 1.01 / steps, `${worst}`);
    t.same(await readGgufRows(file, b, 0, 192), values);
  }
  await t.rejects(write('Q8_0', [4, 48]), coded('WEIGHT_SHAPE', '"a"', 48, 'Q8_0', 32));
});
