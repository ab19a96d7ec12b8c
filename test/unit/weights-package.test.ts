import type { ModelShape } from '@fleetlora/shared/graph';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import { encodeTensorFile, packageMetadata, packageSize, packageTensors } from '@fleetlora/shared/weights';
import t from 'tap';

const shape: ModelShape = {
  architecture: 'llama',
  layers: 1,
  hidden: 8,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  ffnWidth: 16,
  vocab: 32,
  positions: 64,
  rmsEpsilon: 1e-5,
  ropeTheta: 10000,
  tiedHead: true,
};
const genome = (form: Genome['form']): Genome => ({
  form,
  layers: [{ ranks: { qkv: 2, o: 0, gateUp: 1, down: 3 }, width: 12 }],
});

t.test('unmerged: A [r, in], B [r, out] at the rank of the group; groups of rank 0 are absent', async (t) => {
  const dims = Object.fromEntries(
    packageTensors(genome('unmerged'), shape).map(({ name, shape }) => [name, shape]),
  );
  t.same(dims, {
    'layers.0.q.A': [2, 8],
    'layers.0.q.B': [2, 8],
    'layers.0.k.A': [2, 8],
    'layers.0.k.B': [2, 4],
    'layers.0.v.A': [2, 8],
    'layers.0.v.B': [2, 4],
    'layers.0.gate.A': [1, 8],
    'layers.0.gate.B': [1, 12],
    'layers.0.up.A': [1, 8],
    'layers.0.up.B': [1, 12],
    'layers.0.down.A': [3, 12],
    'layers.0.down.B': [3, 8],
  });
  t.same(
    packageTensors(genome('unmerged'), shape, ['v', 'down']).map(({ name }) => name),
    ['layers.0.v.A', 'layers.0.v.B', 'layers.0.down.A', 'layers.0.down.B'],
  );
});

t.test('merged: complete matrices in base layout, cut to the width', async (t) => {
  const dims = Object.fromEntries(
    packageTensors(genome('merged'), shape).map(({ name, shape }) => [name, shape]),
  );
  t.same(dims, {
    'layers.0.q': [8, 8],
    'layers.0.k': [4, 8],
    'layers.0.v': [4, 8],
    'layers.0.o': [8, 8],
    'layers.0.gate': [12, 8],
    'layers.0.up': [12, 8],
    'layers.0.down': [12, 8],
  });
});

for (const form of ['unmerged', 'merged'] as const) {
  t.test(`${form}: packageSize equals the bytes of the file, two bytes a value and the header`, async (t) => {
    const adapter = { rankMax: 4, alpha: 8, modules: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const };
    const tensors = packageTensors(genome(form), shape).map((spec) => ({
      ...spec,
      data: new Float32Array((spec.shape[0] as number) * (spec.shape[1] as number)),
    }));
    const values = tensors.reduce((sum, { data }) => sum + data.length, 0);
    // qkv 2·(3·8 + 8 + 4 + 4), gate and up 2·(8 + 12), down 3·(12 + 8); merged 2·64 + 2·32 + 3·96.
    t.equal(values, form === 'unmerged' ? 80 + 40 + 60 : 480);
    const metadata = packageMetadata({
      ...adapter,
      shape,
      genome: genome(form),
      baseDigest: 'a'.repeat(64),
      adapterDigest: 'b'.repeat(64),
    });
    const bytes = encodeTensorFile(tensors, metadata, { alignment: 'none' });
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    t.equal(bytes.length, 8 + headerBytes + 2 * values);
    t.equal(packageSize(genome(form), shape, adapter), bytes.length);
  });
}

t.test('rank costs nothing to ship once merged, and bytes unmerged', async (t) => {
  const size = (rank: number, form: Genome['form']) => packageSize(uniformGenome(1, rank, 16, form), shape);
  t.equal(size(8, 'merged'), size(9, 'merged'));
  // One more rank: q,k,v 3·8 + 8 + 4 + 4, o 16, gate and up 2·24, down 24 values.
  const values = (rank: number) =>
    packageTensors(uniformGenome(1, rank, 16), shape).reduce(
      (sum, { shape: [rows = 0, columns = 0] }) => sum + rows * columns,
      0,
    );
  t.equal(values(9) - values(8), 40 + 16 + 48 + 24);
});
