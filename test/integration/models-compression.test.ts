import t from 'tap';
import { coded } from '../lib/coded.js';
import { linear, openCompressible, readStored, zerosIn } from '../lib/compressible-models.js';

t.test('base prune makes a base of its own, half of every matrix 0', async (t) => {
  const models = await openCompressible(t);
  const { catalog, base } = models;
  const calibration = { dataset: 'rows', rows: 3 };
  const sparse = await catalog.pruneBase('tiny', { name: 'half', sparsity: 0.5, calibration });
  t.match(sparse, {
    name: 'half',
    layers: 2,
    ffnWidth: 32,
    tokenizerDigest: base.tokenizerDigest,
    files: { fp32: { digest: sparse.digest, bytes: sparse.bytes } },
    pruning: { method: 'wanda', sparsity: 0.5, baseDigest: base.digest, rows: 3 },
  });
  t.not(sparse.digest, base.digest);
  t.same(await catalog.findBase('half'), sparse, 'as it was recorded');
  t.notOk(Object.hasOwn(await catalog.findBase('tiny'), 'pruning'));
  const stored = await readStored(models, sparse.digest);
  t.same(stored.pruning, sparse.pruning);
  for (const name of linear) {
    const zeros = zerosIn(stored.weights, name).filter(Boolean).length;
    t.equal(zeros, (stored.weights.get(name) as Float32Array).length / 2, name);
  }
  const again = await catalog.pruneBase('tiny', { name: 'again', sparsity: 0.5, calibration });
  t.equal(again.digest, sparse.digest, 'equal input, equal file');
  const fewer = await catalog.pruneBase('tiny', { name: 'fewer', sparsity: 0.25, calibration });
  t.not(fewer.digest, sparse.digest);

  await t.rejects(
    catalog.pruneBase('tiny', { name: 'half', sparsity: 0.5, calibration }),
    coded('ALREADY_EXISTS', '"half"'),
  );
  await t.rejects(
    catalog.pruneBase('other', { name: 'x', sparsity: 0.5, calibration }),
    coded('NOT_FOUND', '"other"'),
  );
  await t.rejects(
    catalog.pruneBase('tiny', { name: 'x', sparsity: 0.5, calibration: { dataset: 'none' } }),
    coded('NOT_FOUND', '"none"'),
  );
  for (const sparsity of [0, 1, Number.NaN])
    await t.rejects(
      catalog.pruneBase('tiny', { name: 'x', sparsity, calibration }),
      coded('BAD_REQUEST', `${sparsity}`),
    );
  t.equal((await catalog.listBases()).length, 4, 'what was refused left no record');
});

for (const importance of ['l1', 'wanda'] as const)
  t.test(`base import sorted by ${importance}`, async (t) => {
    const models = await openCompressible(t);
    const { catalog, base, baseFiles: files } = models;
    const calibration = { dataset: 'rows', rows: 4 };
    const sorted = await catalog.importBase({
      name: 'sorted',
      files,
      importance,
      ...(importance === 'wanda' && { calibration }),
    });
    const [plain, own] = [await readStored(models, base.digest), await readStored(models, sorted.digest)];
    if (importance === 'l1') t.same(own.orders.ffnOrder, plain.orders.ffnOrder, 'channels as ever');
    else t.notSame(own.orders.ffnOrder, plain.orders.ffnOrder, 'channels in another order');
    const sum = (weights: ReadonlyMap<string, Float32Array>): number =>
      linear.reduce(
        (all, name) => all + (weights.get(name) ?? new Float32Array()).reduce((a, b) => a + b ** 2, 0),
        0,
      );
    t.ok(Math.abs(sum(own.weights) - sum(plain.weights)) < 1e-6 * sum(plain.weights), 'the same weights');
    if (importance === 'wanda')
      await t.rejects(
        catalog.importBase({ name: 'x', files, importance }),
        coded('BAD_REQUEST', 'calibration', 'data set'),
      );
  });
