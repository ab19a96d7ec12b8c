import { join } from 'node:path';
import { createTrainer } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import type { Base } from '@fleetlora/shared/protocol';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { linear, openCompressible, readStored, whole, zerosIn } from '../lib/compressible-models.js';
import { tinyTraining, untilTraining } from '../lib/tiny-training.js';

t.test('adapter merge: masked into a sparse base, plainly into a dense one', async (t) => {
  const models = await openCompressible(t);
  const { catalog, base, adapterFiles: files } = models;
  await catalog.pruneBase('tiny', { name: 'half', sparsity: 0.5, calibration: { dataset: 'rows' } });
  const plain = await catalog.importAdapter({ name: 'plain', base: 'tiny', files });
  t.notOk(Object.hasOwn(plain, 'masked'));
  await t.rejects(
    catalog.importAdapter({ name: 'x', base: 'tiny', files, masked: 'fp32' }),
    coded('ADAPTER_OTHER_BASE', '"tiny"', 'not pruned'),
  );
  const masked = await catalog.importAdapter({ name: 'masked', base: 'half', files, masked: 'fp32' });
  t.match(masked, { masked: 'fp32', space: { forms: ['merged'] } });
  t.same(await catalog.findAdapter('masked'), masked);
  await t.rejects(
    catalog.importAdapter({ name: 'x', base: 'half', files, masked: 'fp32', space: plain.space }),
    coded('SPACE_INVALID', 'unmerged', 'masked'),
  );

  const candidate = encodeGenome(whole);
  const sparse = await catalog.mergeAdapter('masked', { name: 'sparse', candidate });
  t.match(sparse, {
    pruning: { sparsity: 0.5 },
    merged: { genome: candidate, adapterDigest: masked.digest },
    kvHeads: 1,
    parameters: base.parameters,
  });
  const [before, after] = [
    await readStored(models, (await catalog.findBase('half')).digest),
    await readStored(models, sparse.digest),
  ];
  for (const name of linear) {
    t.same(zerosIn(after.weights, name), zerosIn(before.weights, name), `${name}: the same zeros`);
    t.notSame(after.weights.get(name), before.weights.get(name));
  }
  const dense = await catalog.mergeAdapter('plain', { name: 'dense', candidate });
  t.notOk(Object.hasOwn(dense, 'pruning'));
  t.same((await readStored(models, dense.digest)).merge, dense.merged);

  await t.rejects(
    catalog.mergeAdapter('plain', { name: 'sparse', candidate }),
    coded('ALREADY_EXISTS', '"sparse"'),
  );
  await t.rejects(catalog.mergeAdapter('none', { name: 'x', candidate }), coded('NOT_FOUND', '"none"'));
  await t.rejects(
    catalog.mergeAdapter('plain', { name: 'x', candidate: encodeGenome(uniformGenome(3, 4, 32)) }),
    coded('GENOME_OUTSIDE_SPACE', '3 layers'),
  );
  const inQ4 = encodeGenome({ ...whole, precision: 'q4' });
  await t.rejects(
    catalog.mergeAdapter('plain', { name: 'x', candidate: inQ4, into: 'q8' }),
    coded('BAD_REQUEST', 'q4', 'q8'),
  );
  await t.rejects(
    catalog.mergeAdapter('plain', { name: 'x', candidate: inQ4 }),
    coded('ADAPTER_CONFIG', 'floats', 'q4'),
  );
});

t.test('adapter merge into q4: a quantised file and the fp32 file of the same weights', async (t) => {
  const models = await openCompressible(t);
  const { catalog, adapterFiles: files } = models;
  const half = await catalog.pruneBase('tiny', {
    name: 'half',
    sparsity: 0.5,
    calibration: { dataset: 'rows' },
  });
  await catalog.importAdapter({ name: 'numbers', base: 'half', files, masked: 'q4' });
  const candidate = encodeGenome(whole);
  const merge = (name: string): Promise<Base> =>
    catalog.mergeAdapter('numbers', { name, candidate, into: 'q4' });
  const first = await merge('first');
  t.match(first, { pruning: half.pruning, files: { fp32: { digest: first.digest }, q4: {} } });
  const numbers = await readStored(models, first.files.q4?.digest ?? '');
  const floats = await readStored(models, first.digest);
  t.equal(numbers.metadata.sourceBaseDigest, first.digest, 'the quantised file names the fp32 one');
  t.same(numbers.weights, floats.weights, 'they hold the same weights');
  t.match(first.merged, { genome: encodeGenome({ ...whole, precision: 'q4' }) });

  const quantised = await catalog.quantiseBase('half', { precision: 'q4' });
  const before = await readStored(models, quantised.files.q4?.digest ?? '');
  for (const name of linear) {
    const [was, is] = [zerosIn(before.weights, name), zerosIn(numbers.weights, name)];
    t.ok(
      was.every((zero, at) => !zero || is[at]),
      `${name}: every zero stays`,
    );
  }
  const second = await merge('second');
  const again = await readStored(models, second.digest);
  t.same(again.weights, floats.weights, 'with the quantised file in the catalog too');
  await t.rejects(
    catalog.mergeAdapter('numbers', { name: 'x', candidate }),
    coded('ADAPTER_OTHER_BASE', 'q4', 'fp32'),
  );
});

for (const precision of ['fp32', 'q4'] as const)
  t.test(`a masked training beside ${precision} ends as an adapter that merges without harm`, async (t) => {
    const models = await openCompressible(t);
    const { catalog, content } = models;
    await catalog.pruneBase('tiny', { name: 'half', sparsity: 0.5, calibration: { dataset: 'rows' } });
    const trainer = createTrainer({
      catalog,
      repository: models.store.trainings,
      contentFolder: content.folder,
      trainingFolder: join(content.folder, '..', 'training'),
      host: models.host,
      clock: systemClock,
      newId: models.newId,
      onError: (_, error) => t.fail(String(error)),
    });
    t.teardown(() => trainer.close());
    const plan = tinyTraining(4);
    const request = {
      ...plan,
      base: 'half',
      space: { ...plan.space, widthPercents: [100] },
      options: { ...plan.options, masked: true, precision },
    };
    await t.rejects(
      trainer.start({ ...request, base: 'tiny' }),
      coded('BAD_REQUEST', '"tiny"', 'not pruned'),
    );
    if (precision !== 'fp32')
      await t.rejects(
        trainer.start({ ...request, space: plan.space }),
        coded('SPACE_INVALID', '16', precision),
        'widths that its numbers cannot be cut to',
      );
    const { id } = await trainer.start(request);
    const training = await untilTraining(trainer, id, ({ state }) => state !== 'running');
    t.match(training, { state: 'finished', error: null });
    const adapter = await catalog.findAdapter('digits');
    t.match(adapter, { masked: precision, space: { forms: ['merged'] } });

    const candidate = encodeGenome(whole);
    const merged = await catalog.mergeAdapter('digits', { name: 'merged', candidate, into: precision });
    const source = await catalog.findBase('half');
    const before = precision === 'fp32' ? source : await catalog.quantiseBase('half', { precision });
    const was = await readStored(models, before.files[precision]?.digest ?? '');
    const is = await readStored(models, merged.files[precision]?.digest ?? '');
    for (const name of linear) {
      const zeros = zerosIn(is.weights, name);
      t.ok(
        zerosIn(was.weights, name).every((zero, at) => !zero || zeros[at]),
        `${name}: every zero stays`,
      );
    }
  });
