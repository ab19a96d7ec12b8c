import { costOf, type Genome, uniformGenome } from '@fleetlora/shared/space';
import { packageTensors } from '@fleetlora/shared/weights';
import t from 'tap';
import { merged, tinyGenomes } from '../lib/tiny-genomes.js';
import { tinyShape } from '../lib/tiny-model.js';

const shape = { hidden: 4, qWidth: 6, kvWidth: 2, vocab: 10 };
const genome: Genome = {
  form: 'unmerged',
  layers: [{ ranks: { qkv: 2, o: 3, gateUp: 1, down: 5 }, width: 7 }],
};

t.test('one layer worked out by hand, both forms', async (t) => {
  // LoRA: q,k,v 2·(3·4 + 6 + 2 + 2) = 44; o 3·(6 + 4) = 30; gate and up 2·(4 + 7) = 22; down 5·(7 + 4) = 55.
  // Base: q, o 2·4·6, k, v 2·4·2, FFN 3·4·7: 48 + 16 + 84 = 148. Head: 4·10.
  t.same(costOf(genome, shape), {
    macs: 148 + 151 + 40,
    adapterParameters: 151,
    baseParameters: 148,
    shippedParameters: 151,
  });
  t.same(costOf(merged(genome), shape), {
    macs: 148 + 40,
    adapterParameters: 151,
    baseParameters: 148,
    shippedParameters: 148,
  });
});

t.test('layers add up; rank 0 adds nothing', async (t) => {
  const two = costOf({ ...genome, layers: [...genome.layers, ...genome.layers] }, shape);
  t.equal(two.adapterParameters, 2 * 151);
  t.equal(two.macs, 2 * (148 + 151) + 40);
  const none = costOf(uniformGenome(1, 0, 7), shape);
  t.equal(none.adapterParameters, 0);
  t.equal(none.macs, costOf(uniformGenome(1, 9, 7, 'merged'), shape).macs, 'as many as merged at any rank');
});

for (const [name, candidate] of Object.entries(tinyGenomes)) {
  t.test(`${name}: shipped parameters are the values of its package`, async (t) => {
    const { hidden, heads, kvHeads, headDim, vocab } = tinyShape;
    const sizes = { hidden, qWidth: heads * headDim, kvWidth: kvHeads * headDim, vocab };
    for (const form of [candidate, merged(candidate)]) {
      const values = packageTensors(form, tinyShape).reduce(
        (sum, { shape: [rows = 0, columns = 0] }) => sum + rows * columns,
        0,
      );
      t.equal(costOf(form, sizes).shippedParameters, values, form.form);
    }
  });
}
