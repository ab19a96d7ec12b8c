import {
  beginTensorFile,
  createBufferSink,
  encodeTensorFile,
  type TensorToWrite,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const tensors: TensorToWrite[] = [
  { name: 'a', dtype: 'F32', shape: [5], data: Float32Array.of(1, -2, 0.5, 8, 9) },
  { name: 'b', dtype: 'F16', shape: [2, 2], data: Float32Array.of(1, 3.1, -65504, 0) },
  { name: 'c', dtype: 'I32', shape: [2], data: Int32Array.of(5, -6) },
  { name: 'd', dtype: 'U8', shape: [4096], data: new Uint8Array(4096).fill(9) },
  { name: 'e', dtype: 'BF16', shape: [1], data: Float32Array.of(3.140625) },
];
const metadata = { format: 'pt' };

for (const alignment of ['page', 'none'] as const)
  for (const piece of [1, 2, 5000])
    t.test(`alignment ${alignment}, ${piece} values at once: byte for byte the whole file`, async (t) => {
      const sink = createBufferSink();
      const told: number[] = [];
      const telling = { ...sink, expect: async (bytes: number) => void told.push(bytes) };
      const file = await beginTensorFile(telling, tensors, metadata, { alignment });
      for (const { name, data } of tensors)
        for (let first = 0; first < data.length; first += piece)
          await file.write(name, data.subarray(first, first + piece));
      await file.end();
      const whole = encodeTensorFile(tensors, metadata, { alignment });
      t.ok(Buffer.from(sink.bytes()).equals(whole));
      t.strictSame(told, [whole.length], 'the size was told before');
    });

t.test('another turn, too much, too little, the wrong kind: bugs that name the tensor', async (t) => {
  const begin = () => beginTensorFile(createBufferSink(), tensors, {}, { alignment: 'page' });
  await t.rejects((await begin()).write('b', new Float32Array(4)), coded('BUG', '"b"', '"a" was due'));
  const file = await begin();
  await file.write('a', new Float32Array(4));
  await t.rejects(file.end(), coded('BUG', '16 of 20 bytes', '"a"'));
  await t.rejects(file.write('a', new Float32Array(2)), coded('BUG', '"a" has 20', '24'));
  await t.rejects(file.write('a', Int32Array.of(1)), coded('BUG', 'Int32Array'));
  await file.write('a', new Float32Array(1));
  await t.rejects(file.write('a', new Float32Array(1)), coded('BUG', '"b" was due'));
});

t.test('an array may be used again: a sink in memory has its own copy', async (t) => {
  const sink = createBufferSink();
  const bytes = Uint8Array.of(1, 2);
  await sink.write(bytes);
  bytes.fill(9);
  await sink.write(bytes);
  t.strictSame([...sink.bytes()], [1, 2, 9, 9]);
});
