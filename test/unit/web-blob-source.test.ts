import { createBlobSource } from '@fleetlora/shared/web';
import { encodeTensorFile, readFloats, readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';

t.test('reads a blob of 4 bytes up to its end and not beyond', async (t) => {
  const source = createBlobSource(new Blob([Uint8Array.of(1, 2, 3, 4)]));
  t.equal(source.size, 4);
  t.same([...(await source.read(1, 3))], [2, 3, 4]);
  t.same([...(await source.read(4, 0))], []);
  for (const [offset, length] of [
    [2, 3],
    [-1, 2],
    [0, -1],
  ] as const)
    await t.rejects(source.read(offset, length), { code: 'SAFETENSORS_TRUNCATED' });
});

t.test('a weight file in a blob reads like one in a file', async (t) => {
  const data = Float32Array.of(0.5, -2, 3);
  const bytes = encodeTensorFile([{ name: 'a', dtype: 'F32', shape: [3], data }], {}, { alignment: 'page' });
  const file = await readTensorFile(createBlobSource(new Blob([bytes as Uint8Array<ArrayBuffer>])));
  t.same(await readFloats(file, 'a', [3]), data);
});
