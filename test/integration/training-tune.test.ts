import { join } from 'node:path';
import {
  adaptedModules,
  createLoraParameters,
  createTrainer,
  encodeAdapter,
  loadLora,
  type Trainer,
} from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import { resolveCandidate } from '@fleetlora/shared/engine';
import { loraName, moduleNames, type WeightFile } from '@fleetlora/shared/graph';
import type { Training } from '@fleetlora/shared/protocol';
import {
  anchorGenome,
  bindSearchSpace,
  decodeGenome,
  encodeGenome,
  type Genome,
  oneCandidateSpace,
  type SearchSpaceFile,
} from '@fleetlora/shared/space';
import {
  bufferSource,
  encodeTensorFile,
  modulePaths,
  readAdapterFacts,
  readFloats,
  readPeftAdapter,
  readTensorFile,
  type TensorToWrite,
  takeRows,
  transpose,
} from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import type { OpenModels } from '../lib/open-models.js';
import { readPlainLlama } from '../lib/plain-llama.js';
import { createTinyModel, type TinyModel, tinyAlpha, tinyRankMax, tinyShape } from '../lib/tiny-model.js';
import { openTrainingModels, tinyTraining, untilTraining } from '../lib/tiny-training.js';

const trained: Pick<SearchSpaceFile, 'name' | 'rankMax' | 'alpha'> = {
  name: 'tiny',
  rankMax: tinyRankMax,
  alpha: tinyAlpha,
};
const ids = [3, 1, 4, 1, 5, 9, 2, 6];

/** The candidate's own adapter file, as a training that starts with it and makes no step leaves it. */
async function extract(
  model: TinyModel,
  genome: Genome,
): Promise<{ file: WeightFile; space: SearchSpaceFile }> {
  const file = oneCandidateSpace(trained, genome);
  const space = bindSearchSpace(file, { layerCount: tinyShape.layers, ffnWidth: tinyShape.ffnWidth });
  const parameters = createLoraParameters(model.shape, file.rankMax, adaptedModules(space));
  await loadLora(parameters, model.adapter.file, model.shape, anchorGenome(space, 'max'));
  const bytes = encodeAdapter(parameters, {
    shape: model.shape,
    baseDigest: model.base.fileName,
    ffnOrderDigest: model.base.file.metadata.ffnOrderDigest ?? '',
    rankMax: file.rankMax,
    alpha: file.alpha,
  });
  return { file: { fileName: 'cut', file: await readTensorFile(bufferSource(bytes)) }, space: file };
}

const candidates: readonly [string, Genome][] = [
  ['ranks 1, 2 and 3 of 4', 'g1:u:1.2.3.2.12/3.1.1.3.18'],
  ['one rank of 4 alone', 'g1:u:1.1.1.1.24/1.1.1.1.24'],
  ['no adapter on o, a layer left out, one head', 'g2:u:fp32:2.0.1.2.12.1/-'],
].map(([name, text]) => [name as string, decodeGenome(text as string)] as const);

for (const [name, genome] of candidates) {
  t.test(`${name}: cut out, the candidate answers as within the super-adapter`, async (t) => {
    const model = await createTinyModel(t.testdir());
    const { file, space } = await extract(model, genome);
    t.equal(space.alpha / space.rankMax, tinyAlpha / tinyRankMax);
    const within = (await readPlainLlama(model)).logits(ids, genome);
    const alone = (await readPlainLlama({ ...model, adapter: file })).logits(ids, genome);
    // Factors are rounded to half precision when a training ends.
    t.ok(difference(within, alone) < 1e-2, `${difference(within, alone)} apart`);
    t.equal(resolveCandidate({ ...model, overlay: file, genome }).loraScale, tinyAlpha / tinyRankMax);
    for (const module of moduleNames)
      for (const [layer, { skipped }] of genome.layers.entries())
        if (skipped && file.file.tensors.has(loraName(layer, module, 'A')))
          t.ok((await readFloats(file.file, loraName(layer, module, 'A'))).every((value) => value === 0));
  });
}

t.test(
  'the same candidate through PEFT with rank_pattern and alpha_pattern = alpha·r/rankMax answers alike',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const genome = decodeGenome('g1:u:1.2.3.2.24/3.1.1.3.24');
    const { config, file } = await writePatterned(model, genome);
    const bytes = await readPeftAdapter(config, file, { file: model.base.file, digest: model.base.fileName });
    const imported = { fileName: 'peft', file: await readTensorFile(bufferSource(bytes)) };
    t.equal(readAdapterFacts(imported.file).rankMax, 3);
    const plain = async (adapter: WeightFile) =>
      (await readPlainLlama({ ...model, adapter })).logits(ids, genome);
    const { file: cut } = await extract(model, genome);
    t.ok(difference(await plain(imported), await plain(model.adapter)) < 1e-4);
    t.ok(difference(await plain(imported), await plain(cut)) < 1e-2);
    t.ok(difference(await plain(imported), (await readPlainLlama(model)).logits(ids, null)) > 0.1);
  },
);

/** A PEFT adapter that holds the candidate's ranks alone, in the original channel order. */
async function writePatterned(model: TinyModel, genome: Genome) {
  const { shape } = model;
  const order = await readOrder(model);
  const tensors: TensorToWrite[] = [];
  const rankPattern: Record<string, number> = {};
  const alphaPattern: Record<string, number> = {};
  const groups = {
    q: 'qkv',
    k: 'qkv',
    v: 'qkv',
    o: 'o',
    gate: 'gateUp',
    up: 'gateUp',
    down: 'down',
  } as const;
  for (const [layer, { ranks }] of genome.layers.entries())
    for (const module of moduleNames) {
      const rank = ranks[groups[module]];
      const path = `model.layers.${layer}.${modulePaths[module]}`;
      rankPattern[path] = rank;
      alphaPattern[path] = (tinyAlpha * rank) / tinyRankMax;
      const sorted = order.subarray(layer * shape.ffnWidth, (layer + 1) * shape.ffnWidth);
      const original = new Int32Array(sorted.length);
      sorted.forEach((channel, at) => {
        original[channel] = at;
      });
      const factor = async (kind: 'A' | 'B', sorts: boolean) => {
        const stored = await readFloats(model.adapter.file, loraName(layer, module, kind));
        const columns = stored.length / tinyRankMax;
        const byColumn = transpose(stored.subarray(0, rank * columns), rank, columns);
        return { columns, byColumn: sorts ? takeRows(byColumn, original, rank) : byColumn };
      };
      const a = await factor('A', module === 'down');
      const b = await factor('B', module === 'gate' || module === 'up');
      const name = `base_model.model.${path}`;
      const add = (suffix: string, dims: number[], data: Float32Array): void => {
        tensors.push({ name: `${name}.${suffix}.weight`, dtype: 'F32', shape: dims, data });
      };
      add('lora_A', [rank, a.columns], transpose(a.byColumn, a.columns, rank));
      add('lora_B', [b.columns, rank], b.byColumn);
    }
  const config = {
    peft_type: 'LORA',
    r: tinyRankMax,
    lora_alpha: tinyAlpha,
    bias: 'none',
    target_modules: moduleNames.map((module) => modulePaths[module].split('.').at(-1)),
    rank_pattern: rankPattern,
    alpha_pattern: alphaPattern,
  };
  const bytes = encodeTensorFile(tensors, { format: 'pt' }, { alignment: 'none' });
  return { config, file: await readTensorFile(bufferSource(bytes)) };
}

async function readOrder(model: TinyModel): Promise<Int32Array> {
  const entry = model.base.file.tensors.get('ffnOrder');
  const bytes = await model.base.file.source.read(entry?.offset ?? 0, entry?.bytes ?? 0);
  return new Int32Array(bytes.slice().buffer);
}

function difference(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  return Math.max(
    ...a.flatMap((row, at) => Array.from(row, (value, column) => Math.abs(value - (b[at]?.[column] ?? 0)))),
  );
}

const isOver = ({ state }: Training): boolean => state !== 'running';

/** A trainer whose catalog holds the super-adapter "digits". */
async function openTrained(t: Test): Promise<{ models: OpenModels; trainer: Trainer }> {
  const models = await openTrainingModels(t);
  const trainer = createTrainer({
    catalog: models.catalog,
    repository: models.store.trainings,
    contentFolder: models.content.folder,
    trainingFolder: join(models.content.folder, '..', 'training'),
    host: models.host,
    clock: systemClock,
    newId: models.newId,
    onError: (_, error) => t.error(error),
  });
  t.teardown(() => trainer.close());
  const { id } = await trainer.start(tinyTraining(6));
  t.match(await untilTraining(trainer, id, isOver), { state: 'finished' });
  return { models, trainer };
}

t.test('tuned for 20 steps it is an adapter of its own, better than it was, and of that space', async (t) => {
  const { models, trainer } = await openTrained(t);
  const candidate = 'g1:u:2.2.2.2.4/4.4.4.4.8';
  const before = await models.catalog.findAdapter('digits');
  const request = {
    name: 'digits-small',
    candidate,
    dataset: 'rows',
    options: { steps: 20, learningRate: 1e-2, threads: 1, batchRows: 8 },
  };
  const { id } = await trainer.tune('digits', request);
  const losses: number[] = [];
  const ended = await untilTraining(trainer, id, ({ state, loss }) => {
    if (loss !== null && losses.at(-1) !== loss) losses.push(loss);
    return state !== 'running';
  });
  t.match(ended, { state: 'finished', error: null, options: { from: before.id, sampling: 'uniform' } });
  t.ok((ended.loss ?? 9) < (losses[0] as number), `from ${losses[0]} to ${ended.loss}`);
  const tuned = await models.catalog.findAdapter('digits-small');
  t.match(tuned, { rankMax: 4, alpha: 8, baseId: before.baseId, space: { candidate } });
  const space = bindSearchSpace(tuned.space, { layerCount: 2, ffnWidth: 8 });
  t.equal(encodeGenome(anchorGenome(space, 'max')), candidate);
  t.same(await models.catalog.findAdapter('digits'), before, 'the super-adapter is as it was');
  // Rows above the layer's rank and columns above its width are no part of the candidate.
  const source = await models.content.open(tuned.digest);
  const file = await readTensorFile(source);
  const a = await readFloats(file, 'layers.0.q.A');
  const kept = a.length / 2;
  t.ok(a.subarray(kept).every((value) => value === 0));
  t.ok(a.subarray(0, kept).some((value) => value !== 0));
  const b = await readFloats(file, 'layers.0.up.B', [4, 8]);
  t.ok(b.every((value, at) => at % 8 < 4 || value === 0));
  t.ok(b.some((value) => value !== 0));
  await source.close();
});

t.test('what cannot be tuned is refused at once', async (t) => {
  const { models, trainer } = await openTrained(t);
  const tune = (change: object) =>
    trainer.tune('digits', {
      name: 'other',
      candidate: 'g1:u:2.2.2.2.4/4.4.4.4.8',
      dataset: 'rows',
      options: { steps: 1 },
      ...change,
    });
  await t.rejects(tune({ candidate: 'g1:u:3.3.3.3.4/4.4.4.4.8' }), coded('GENOME_OUTSIDE_SPACE', 3, 2, 4));
  await t.rejects(tune({ candidate: 'nonsense' }), coded('GENOME_MALFORMED'));
  await t.rejects(tune({ name: 'digits' }), coded('ALREADY_EXISTS', 'digits'));
  await t.rejects(
    trainer.tune('nobody', { name: 'x', candidate: '', dataset: 'rows', options: {} }),
    coded('NOT_FOUND'),
  );
  const start = { ...tinyTraining(2), name: 'next' };
  await t.rejects(
    trainer.start({
      ...start,
      options: { ...start.options, from: 'digits' },
      space: { ...start.space, alpha: 16 },
    }),
    coded('SPACE_INVALID', 4, 2),
  );
  await t.rejects(
    trainer.start({ ...start, options: { ...start.options, distil: 0.5, sampling: 'uniform' } }),
    coded('BAD_REQUEST', 'uniform'),
  );
  t.equal((await models.store.trainings.listTrainings()).length, 1, 'nothing was recorded');
});

t.test('a super-adapter goes on from another one, distilled', async (t) => {
  const { models, trainer } = await openTrained(t);
  const { id } = await trainer.start({
    ...tinyTraining(4),
    name: 'further',
    options: { ...tinyTraining(4).options, from: 'digits', distil: 0.5 },
  });
  t.match(await untilTraining(trainer, id, isOver), { state: 'finished', error: null });
  t.match(await models.catalog.findAdapter('further'), { rankMax: 4, alpha: 8 });
});
