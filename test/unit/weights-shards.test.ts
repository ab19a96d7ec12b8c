import {
  bufferSource,
  encodeTensorFile,
  joinShards,
  parseShardIndex,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const shardOf = (...names: string[]): Promise<TensorFile> =>
  readTensorFile(
    bufferSource(
      encodeTensorFile(
        names.map((name) => ({ name, dtype: 'F32', shape: [2], data: new Float32Array(2) })),
        {},
        { alignment: 'none' },
      ),
    ),
  );
const map = { a: '1.safetensors', b: '2.safetensors', c: '1.safetensors' };
const index = (weight_map: unknown, metadata: unknown = { total_size: 24 }) =>
  parseShardIndex({ metadata, weight_map });
const files = async () =>
  new Map([
    ['1.safetensors', await shardOf('a', 'c')],
    ['2.safetensors', await shardOf('b')],
  ]);

t.test('three tensors in two shards are read as if they lay in one file', async (t) => {
  t.strictSame(index(map).shards, ['1.safetensors', '2.safetensors']);
  const joined = joinShards(index(map), await files());
  t.strictSame([...joined.keys()].sort(), ['a', 'b', 'c']);
  t.equal(joined.get('b')?.file, joined.get('b')?.file);
  t.not(joined.get('b')?.file, joined.get('a')?.file);
  await t.resolves(async () => joinShards(index(map, undefined), await files()));
});

t.test('a name is in exactly the shard that the index says, and nothing else is there', async (t) => {
  const shards = await files();
  const join =
    (weight_map: unknown, of: ReadonlyMap<string, TensorFile> = shards) =>
    () =>
      joinShards(index(weight_map, {}), of);
  t.throws(join({ ...map, d: '2.safetensors' }), coded('WEIGHT_MISSING', '"2.safetensors"', '"d"'));
  t.throws(join({ ...map, d: '3.safetensors' }), coded('WEIGHT_MISSING', '"3.safetensors"'));
  t.throws(join({ a: map.a, b: map.b }), coded('MODEL_CONFIG', '"c"', 'no file', '1.safetensors'));
  const twice = new Map(shards).set('2.safetensors', await shardOf('b', 'a'));
  t.throws(join(map, twice), coded('MODEL_CONFIG', '"a"', '"1.safetensors"', '"2.safetensors"'));
  t.throws(() => joinShards(index(map, { total_size: 23 }), shards), coded('MODEL_CONFIG', 23, 24));
});

t.test('indexes that are none, and names that leave the folder', async (t) => {
  for (const value of [null, [], {}, { weight_map: [] }, { weight_map: {} }])
    t.throws(() => parseShardIndex(value), coded('MODEL_CONFIG', 'weight_map'));
  for (const name of ['../x.safetensors', '/x.safetensors', 'x.bin', '.safetensors', 'a/b.safetensors', 7])
    t.throws(() => index({ a: name }), coded('MODEL_CONFIG', '"a"', '.safetensors file'));
  // 64 characters with the ending, as an upload may have.
  t.equal(index({ a: `${'x'.repeat(52)}.safetensors` }).shards.length, 1);
  t.throws(() => index({ a: `${'x'.repeat(53)}.safetensors` }), { code: 'MODEL_CONFIG' });
  t.throws(() => index(map, { total_size: -1 }), coded('MODEL_CONFIG', 'total_size = -1'));
  const of = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [i, `${i}.safetensors`]));
  t.equal(index(of(256)).shards.length, 256);
  t.throws(() => index(of(257)), coded('MODEL_CONFIG', 257, 256));
});
