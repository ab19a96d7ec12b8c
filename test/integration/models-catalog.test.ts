import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeRandomModel } from '@fleetlora/bench/lib/random-hf-model';
import { readRowsFile } from '@fleetlora/coordinator/models';
import { presets } from '@fleetlora/shared/space';
import { maxLineCharacters } from '@fleetlora/shared/text';
import { readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { openModels, tinyAdapterFiles, tinyBaseFiles } from '../lib/open-models.js';
import { checkout, findReference, missingReference } from '../lib/reference.js';
import { tempFolder } from '../lib/temp-folder.js';
import { tinyConfig, tinyModelFile, tinyPeftConfig, tinyTokenizer } from '../lib/tiny-llama.js';

t.test('a base is laid out, stored by its digest and found by id and by name', async (t) => {
  const { catalog, content, upload } = await openModels(t);
  const files = await upload(tinyBaseFiles());
  const base = await catalog.importBase({ name: 'tiny', files });
  t.match(base, {
    name: 'tiny',
    layers: 2,
    hidden: 32,
    ffnWidth: 8,
    vocab: 257,
    tokenizerDigest: files['tokenizer.json'],
  });
  const source = await content.open(base.digest);
  const file = await readTensorFile(source);
  t.equal(file.size, base.bytes);
  t.equal(file.metadata.sourceDigest, files['model.safetensors']);
  await source.close();
  t.same(await catalog.findBase(base.id), base);
  t.same(await catalog.findBase('tiny'), base);
  t.same(await catalog.listBases(), [base]);
  await t.rejects(catalog.findBase('other'), coded('NOT_FOUND', '"other"'));
  await t.rejects(catalog.importBase({ name: 'tiny', files }), coded('ALREADY_EXISTS', '"tiny"'));
  t.equal(
    (await catalog.importBase({ name: 'again', files })).digest,
    base.digest,
    'equal input, equal file',
  );
});

t.test(
  'a base in q8 and q4 beside its fp32 file, noted in its record whichever is ready first',
  async (t) => {
    const { catalog, content, store, upload } = await openModels(t);
    const { base: folder } = await writeRandomModel(await tempFolder(t), 'llama3');
    const names = ['config.json', 'model.safetensors', 'tokenizer.json'];
    const files: Record<string, Uint8Array> = {};
    for (const name of names) files[name] = await readFile(join(folder, name));
    const base = await catalog.importBase({ name: 'random', files: await upload(files) });
    const { digest, bytes } = base;
    t.match(base, { kvHeads: 4, files: { fp32: { digest, bytes } } });
    await Promise.all(
      (['q8', 'q4', 'q4'] as const).map((precision) => catalog.quantiseBase('random', { precision })),
    );
    const quantised = await catalog.findBase(base.id);
    t.same(Object.keys(quantised.files).sort(), ['fp32', 'q4', 'q8']);
    for (const file of Object.values(quantised.files)) {
      const source = await content.open(file.digest);
      t.equal(source.size, file.bytes);
      await source.close();
    }
    t.same(await catalog.quantiseBase('random', { precision: 'q8' }), quantised);
    await t.rejects(catalog.quantiseBase('other', { precision: 'q8' }), coded('NOT_FOUND', '"other"'));

    // As a version before 0.4 wrote it.
    await store.catalog.updateBase(base.id, { kvHeads: null });
    t.equal((await catalog.findBase('random')).kvHeads, 4);
    t.equal((await store.catalog.findBase('random'))?.kvHeads, 4, 'read once');

    // 8 FFN channels are no whole block.
    await catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
    const refused = catalog.quantiseBase('tiny', { precision: 'q4' });
    await t.rejects(refused, coded('UNSUPPORTED_ARCHITECTURE', 'ffnWidth', 8, 32));
  },
);

t.test('a model in six shards with an index; a shard that is not there leaves nothing', async (t) => {
  const { catalog, content, upload } = await openModels(t);
  const folder = join(checkout, 'test', 'data', 'hf-models', 'llama-llama3-shards');
  const index = JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8'));
  const shards = [...new Set(Object.values<string>(index.weight_map))];
  t.equal(shards.length, 6);
  const files: Record<string, unknown> = {
    'tokenizer.json': tinyTokenizer(60),
    'model.safetensors.index.json': index,
  };
  for (const name of ['config.json', ...shards]) files[name] = await readFile(join(folder, name));
  const digests = await upload(files);
  const before = (await readdir(content.folder)).sort();
  const { [shards[2] as string]: _gone, ...missing } = digests;
  await t.rejects(
    catalog.importBase({ name: 'x', files: missing }),
    coded('BAD_REQUEST', shards[2] as string),
  );
  const cut = await upload({ cut: (files[shards[2] as string] as Uint8Array).subarray(0, 9000) });
  await t.rejects(
    catalog.importBase({ name: 'x', files: { ...digests, [shards[2] as string]: cut.cut as string } }),
    coded('SAFETENSORS_TRUNCATED'),
  );
  t.same((await readdir(content.folder)).filter((name) => name !== cut.cut).sort(), before);
  const base = await catalog.importBase({ name: 'shards', files: digests });
  t.match(base, { layers: 2, hidden: 48, vocab: 61, parameters: 36048 });
  const other = { ...digests, 'model.gguf': digests['config.json'] as string };
  await t.rejects(catalog.importBase({ name: 'x', files: other }), coded('BAD_REQUEST', 'model.gguf'));
});

t.test('bad bases are refused and leave neither record nor file', async (t) => {
  const { catalog, content, upload } = await openModels(t);
  const good = await upload(tinyBaseFiles());
  const whole = tinyModelFile('F16');
  const bad = await upload({
    truncated: whole.subarray(0, whole.length - 1),
    headless: whole.subarray(0, 4),
    other: { ...tinyConfig, architectures: ['GPT2LMHeadModel'] },
    small: { ...tinyConfig, vocab_size: 256 },
    text: new TextEncoder().encode('not JSON'),
  });
  const before = (await readdir(content.folder)).sort();
  const attempt = (change: Record<string, string | undefined>) =>
    catalog.importBase({ name: 'x', files: { ...good, ...change } as Record<string, string> });
  await t.rejects(attempt({ 'model.safetensors': bad.truncated }), coded('SAFETENSORS_TRUNCATED'));
  await t.rejects(attempt({ 'model.safetensors': bad.headless }), coded('SAFETENSORS_TRUNCATED', 4, 8));
  await t.rejects(
    attempt({ 'config.json': bad.other }),
    coded('UNSUPPORTED_ARCHITECTURE', 'GPT2LMHeadModel'),
  );
  await t.rejects(attempt({ 'config.json': bad.text }), coded('MODEL_CONFIG', 'config.json', 'not JSON'));
  await t.rejects(attempt({ 'config.json': bad.small }), coded('TOKENIZER', 257, 256));
  await t.rejects(attempt({ 'tokenizer.json': bad.text }), coded('TOKENIZER', 'not JSON'));
  await t.rejects(attempt({ 'tokenizer.json': '0'.repeat(64) }), coded('NOT_FOUND', 'tokenizer.json'));
  await t.rejects(
    catalog.importBase({ name: 'x', files: { 'config.json': good['config.json'] as string } }),
    coded('BAD_REQUEST', '"model.safetensors"'),
  );
  t.same(await catalog.listBases(), []);
  t.same((await readdir(content.folder)).sort(), before);
});

t.test('a PEFT adapter becomes a super-adapter with a space of its own', async (t) => {
  const { catalog, upload } = await openModels(t);
  const base = await catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
  const files = await upload(tinyAdapterFiles());
  const adapter = await catalog.importAdapter({ name: 'lora', base: 'tiny', files });
  t.match(adapter, { name: 'lora', baseId: base.id, rankMax: 4, alpha: 8, files });
  // 4 / 8 rounds to 1; 75 % and 50 % of 8 channels are whole.
  t.match(adapter.space, {
    rankMax: 4,
    alpha: 8,
    ranks: { qkv: [1, 2, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
    widthPercents: [100, 75, 50],
  });
  t.same(await catalog.findAdapter('lora'), adapter);
  t.same(await catalog.listAdapters(), [adapter]);
});

t.test('adapters of another base, and spaces that do not fit the adapter', async (t) => {
  const { catalog, upload } = await openModels(t);
  await catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
  const files = await upload(tinyAdapterFiles());
  const identity = [...Array(8).keys()];
  const order = await upload({ 'channel_order.json': { ffn_channel_order: { 0: identity, 1: identity } } });
  const attempt = (request: object) => catalog.importAdapter({ name: 'x', base: 'tiny', files, ...request });
  await t.rejects(
    attempt({ files: { ...files, ...order } }),
    coded('ADAPTER_OTHER_BASE', 'channel_order.json'),
  );
  await t.rejects(attempt({ base: 'none' }), coded('NOT_FOUND', '"none"'));
  await t.rejects(attempt({ space: presets.lonas }), coded('SPACE_INVALID', 'rankMax 32', 4));
  const space = {
    ...presets.tied,
    rankMax: 4,
    alpha: 8,
    ranks: { qkv: [2, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  };
  await t.rejects(attempt({ space: { ...space, alpha: 8.1 } }), coded('SPACE_INVALID', '8.1', 8));
  await t.rejects(attempt({ space: { ...space, widthPercents: [70] } }), coded('SPACE_INVALID', '70 %'));
  t.same(await catalog.listAdapters(), []);
  await t.resolves(attempt({ space }));
});

t.test('a trained adapter is registered with its PEFT export, which imports as the same file', async (t) => {
  const { catalog, content, upload } = await openModels(t);
  const base = await catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
  const imported = await catalog.importAdapter({
    name: 'a',
    base: 'tiny',
    files: await upload(tinyAdapterFiles()),
  });
  const bytes = await readFile(content.pathOf(imported.digest));
  const registered = await catalog.registerAdapter('b', base.id, bytes, imported.space);
  t.same(Object.keys(registered.files).sort(), ['adapter_config.json', 'adapter_model.safetensors']);
  const back = await catalog.importAdapter({ name: 'c', base: 'tiny', files: registered.files });
  t.equal(back.digest, imported.digest);

  const seeded = await upload({ ...tinyBaseFiles(), 'model.safetensors': tinyModelFile('F16', 2) });
  const other = await catalog.importBase({ name: 'other', files: seeded });
  await t.rejects(
    catalog.registerAdapter('d', other.id, bytes, imported.space),
    coded('ADAPTER_OTHER_BASE', 'other'),
  );
});

t.test('a data set is counted and read back; a broken line is named and nothing recorded', async (t) => {
  const { catalog, content } = await openModels(t);
  const put = (text: string) => content.put(new TextEncoder().encode(text));
  const row = JSON.stringify({ prompt: 'a\u2028b', completion: 'ü' });
  const dataset = await catalog.importDataset({ name: 'd', files: { all: await put(`${row}\n\n${row}`) } });
  t.match(dataset, { name: 'd', rows: 2 });
  t.same(await catalog.readRows(dataset), Array(2).fill({ prompt: 'a\u2028b', completion: 'ü' }));
  await t.rejects(
    catalog.importDataset({ name: 'e', files: { all: await put(`${row}\n${row.slice(0, -1)}\n`) } }),
    coded('DATA_LINE', 'line 2'),
  );
  await t.rejects(catalog.importDataset({ name: 'e', files: { all: await put('\n') } }), coded('DATA_EMPTY'));
  await t.rejects(catalog.importDataset({ name: 'e', files: { all: '0'.repeat(64) } }), coded('NOT_FOUND'));
  t.same(await catalog.listDatasets(), [dataset]);
  // A row of many read buffers, with characters of several bytes at their borders.
  const long = JSON.stringify({ prompt: 'ü'.repeat(300_000), completion: 'x' });
  t.equal((await readRowsFile(content.pathOf(await put(`${long}\n${long}`)))).length, 2);
  await t.rejects(
    readRowsFile(content.pathOf(await put('x'.repeat(maxLineCharacters + 70_000)))),
    coded('DATA_LINE', 'line 1', maxLineCharacters),
  );
});

t.test('closing ends an import in hand: it rejects, and nothing is recorded', async (t) => {
  const { catalog, upload } = await openModels(t);
  const importing = catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
  const ended = importing.then(
    () => 'imported',
    (error: { code?: string }) => error.code,
  );
  await catalog.close();
  t.match(await ended, /^(CHILD_FAILED|STATE_CONFLICT)$/);
  t.same(await catalog.listBases(), []);
});

t.test(
  'the reference base is laid out in the order its super-adapter was trained with',
  { skip: missingReference('models') },
  async (t) => {
    const { catalog, upload } = await openModels(t);
    const read = async (folder: string, ...names: string[]) =>
      upload(
        Object.fromEntries(
          await Promise.all(
            names.map(async (name) => [name, await readFile(findReference(folder, name) as string)] as const),
          ),
        ),
      );
    const files = await read('models/tiny-llama-7m', 'config.json', 'model.safetensors', 'tokenizer.json');
    t.match(await catalog.importBase({ name: 'tiny', files }), {
      parameters: 7_344_384,
      layers: 8,
      vocab: 4096,
    });
    const adapters = ['adapter_config.json', 'adapter_model.safetensors'];
    const elastic = await read('models/banking77-super-adapter', ...adapters, 'channel_order.json');
    t.match(await catalog.importAdapter({ name: 'a', base: 'tiny', files: elastic }), {
      rankMax: 32,
      alpha: 64,
    });
    const mixed = await read('oracle/peft_mixed_rank', ...adapters);
    t.match(await catalog.importAdapter({ name: 'b', base: 'tiny', files: mixed }), {
      rankMax: 32,
      alpha: 64,
    });
    const foreign = await upload({ ...tinyAdapterFiles(), 'adapter_config.json': tinyPeftConfig() });
    await t.rejects(
      catalog.importAdapter({ name: 'c', base: 'tiny', files: foreign }),
      coded('ADAPTER_OTHER_BASE'),
    );
  },
);
