import { costOf, type Genome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
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
    baseBytes: 4 * (148 + 40),
    shippedParameters: 151,
  });
  t.same(costOf(merged(genome), shape), {
    macs: 148 + 40,
    adapterParameters: 151,
    baseParameters: 148,
    baseBytes: 4 * (148 + 40),
    shippedParameters: 148,
  });
});

t.test('heads, layers left out and precision: worked out by hand', async (t) => {
  const layer = { ...(genome.layers[0] as Genome['layers'][number]), kvHeads: 1 };
  const cut: Genome = { form: 'unmerged', precision: 'q4', layers: [layer, skippedLayer] };
  // Half the heads: q, o 2·4·3, k, v 2·4·1, FFN 84; LoRA 2·(3·4 + 3 + 1 + 1), 3·(3 + 4), 22, 55.
  const cost = costOf(cut, { ...shape, kvHeads: 2 });
  t.equal(cost.baseParameters, 24 + 8 + 84);
  t.equal(cost.adapterParameters, 34 + 21 + 22 + 55);
  t.equal(cost.macs, 116 + 132 + 40);
  t.equal(cost.baseBytes, 116 * 0.625 + 40 * 1.125, 'half a byte, and 4 for every 32; the head in q8');
  t.equal(costOf({ ...cut, precision: 'q8' }, { ...shape, kvHeads: 2 }).baseBytes, (116 + 40) * 1.125);
  t.throws(() => costOf(cut, shape), { code: 'BUG' });
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
