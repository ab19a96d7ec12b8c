import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateGreedy, openDecoder } from '@fleetlora/shared/engine';
import type { WeightFile } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { ApiError, Base, Upload } from '@fleetlora/shared/protocol';
import { chatSourceOf, createChatTemplate, createTokenizer } from '@fleetlora/shared/text';
import { bufferSource, readFloats, readGguf, readInts } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { hfModelAsGguf } from '../lib/gguf-models.js';
import { hfModels, openTensorFile } from '../lib/hf-models.js';
import { runCli } from '../lib/run-cli.js';
import { largestDifference, modelLogits } from '../lib/run-logits.js';
import { runCoordinator, type TestCoordinator, temporaryFolder } from '../lib/running-coordinator.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

/** The limit of every comparison with PyTorch here; logits spread over ±10. */
const TOLERANCE = 2e-3;
const template = '{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}{% endfor %}';

const contentOf = ({ folder }: TestCoordinator): string => join(folder, 'content');

/** The weight file that the coordinator made of a base. */
async function openBase(coordinator: TestCoordinator, base: Base): Promise<WeightFile> {
  return { fileName: base.digest, file: await openTensorFile(join(contentOf(coordinator), base.digest)) };
}

/** Logits of 40 tokens, and the likeliest one after them, are those of PyTorch. */
async function computesAs(t: Test, name: string, coordinator: TestCoordinator, base: Base): Promise<void> {
  const expected = await openTensorFile(join(hfModels, name, 'expected.safetensors'));
  const ids = [...(await readInts(expected, 'ids'))];
  const wanted = await readFloats(expected, 'logits', [40, 61]);
  const model = {
    folder: contentOf(coordinator),
    base: await openBase(coordinator, base),
    overlay: null,
    genome: null,
  };
  const difference = largestDifference(await modelLogits(model, ids), wanted);
  t.ok(difference <= TOLERANCE, `${name}: logits are off by ${difference}`);
  const decoder = await openDecoder(createNodeRuntime(), model, { threads: 1, positions: 48 });
  const row = wanted.subarray(39 * 61, 40 * 61);
  for await (const id of generateGreedy(decoder, ids, { maxTokens: 1, stopIds: [] }))
    t.equal(id, row.indexOf(Math.max(...row)), `${name}: the likeliest next token`);
  await decoder.close();
}

const uploadTo =
  (coordinator: TestCoordinator) =>
  async (value: unknown): Promise<string> => {
    const raw = value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
    const response = await coordinator.request('POST /v1/uploads', { raw });
    return ((await response.json()) as Upload).digest;
  };

/** Commands that speak to a coordinator of the test. */
const commandsAt =
  ({ url, token }: TestCoordinator) =>
  (...args: string[]) =>
    runCli('fleetlora', args, { FLEETLORA_URL: url, FLEETLORA_TOKEN: token });

t.test('GGUF files of every family compute what PyTorch computes of the same weights', async (t) => {
  const coordinator = await runCoordinator(t);
  const upload = uploadTo(coordinator);
  const parameters: Record<string, number> = {};
  for (const name of ['llama-linear', 'llama-llama3-shards', 'llama-yarn', 'mistral-window', 'qwen2']) {
    const digest = await upload(await hfModelAsGguf(name));
    const base = await coordinator.call<Base>('POST /v1/bases', { name, files: { 'model.gguf': digest } });
    parameters[name] = base.parameters;
    await computesAs(t, name, coordinator, base);
  }
  // 61 · 48 for each table, 2 · (48 · (64 + 32 + 32 + 64 + 3 · 40) + 2 · 48) in layers, 48 at the end.
  t.same(parameters, {
    'llama-linear': 2928 + 30144 + 48,
    'llama-llama3-shards': 2 * 2928 + 30144 + 48,
    'llama-yarn': 2928 + 30144 + 48,
    'mistral-window': 2 * 2928 + 30144 + 48,
    // Biases of q, k and v.
    qwen2: 2928 + 30144 + 48 + 2 * (64 + 32 + 32),
  });
});

t.test('fleetlora base import FILE.gguf: tokenizer and chat template of the file, or others', async (t) => {
  const coordinator = await runCoordinator(t);
  const fleetlora = commandsAt(coordinator);
  const folder = await temporaryFolder(t);
  const path = join(folder, 'Tiny-F32.gguf');
  const chat = { template, tokens: {} };
  await writeFile(path, await hfModelAsGguf('llama-yarn', chat));
  const imported = await fleetlora('base', 'import', path, '--json');
  t.equal(imported.code, 0, imported.stderr);
  const base = JSON.parse(imported.stdout) as Base;
  t.match(base, { name: 'Tiny-F32', layers: 2, hidden: 48, ffnWidth: 40, vocab: 61 });
  await computesAs(t, 'llama-yarn', coordinator, base);

  const made = await coordinator.request(`GET /v1/artifacts/${base.tokenizerDigest}`);
  const tokenizer = createTokenizer(await made.json());
  const text = '12 + 3, (5)<|end|>';
  t.same(tokenizer.encode(text), createTokenizer(tinyTokenizer(60)).encode(text));
  t.equal(tokenizer.decode(tokenizer.encode('12 + 3')), '12 + 3');

  const { file } = await openBase(coordinator, base);
  t.match(chatSourceOf(file.metadata), { template });
  const turns = [{ role: 'user', content: '1 + 1' }] as const;
  t.equal(
    createChatTemplate(chatSourceOf(file.metadata)).render(turns, 0),
    '<|end|>user: 1 + 1',
    'its first token is the end token, the only special one',
  );
  t.equal(file.metadata.stopIds, '[0]');

  const plain = await fleetlora('base', 'import', path, '--name', 'plain', '--no-chat-template', '--json');
  const without = await openBase(coordinator, JSON.parse(plain.stdout) as Base);
  t.equal(chatSourceOf(without.file.metadata), null);

  const other = join(folder, 'tokenizer.json');
  await writeFile(other, JSON.stringify(tinyTokenizer(50)));
  const given = await fleetlora('base', 'import', path, '--name', 'given', '--tokenizer', other, '--json');
  const withOther = JSON.parse(given.stdout) as Base;
  t.not(withOther.tokenizerDigest, base.tokenizerDigest);
  t.same(
    await (await coordinator.request(`GET /v1/artifacts/${withOther.tokenizerDigest}`)).json(),
    tinyTokenizer(50),
  );
  const large = join(folder, 'large.json');
  await writeFile(large, JSON.stringify(tinyTokenizer(61)));
  const refused = await fleetlora('base', 'import', path, '--name', 'large', '--tokenizer', large);
  t.match(refused, { code: 1, stderr: /TOKENIZER: tokenizer\.json has 62 tokens, the model embeds 61/ });
});

const shards = join(hfModels, 'llama-llama3-shards');
const shardName = (number: number): string => `model-0000${number}-of-00006.safetensors`;

/** The folder of a model in six shards, with a tokenizer and a chat template. */
async function shardFolder(t: Test): Promise<string> {
  const folder = join(await temporaryFolder(t), 'six-shards');
  await mkdir(folder);
  for (const name of await readdir(shards))
    if (name !== 'expected.safetensors') await copyFile(join(shards, name), join(folder, name));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tinyTokenizer(60)));
  await writeFile(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({ bos_token: '<|end|>', chat_template: template }),
  );
  return folder;
}

t.test('fleetlora base import of a folder in six shards: computes, and has its template', async (t) => {
  const coordinator = await runCoordinator(t);
  const folder = await shardFolder(t);
  const imported = await commandsAt(coordinator)('base', 'import', folder, '--json');
  t.equal(imported.code, 0, imported.stderr);
  const base = JSON.parse(imported.stdout) as Base;
  t.match(base, { name: 'six-shards', layers: 2, vocab: 61, parameters: 36048 });
  await computesAs(t, 'llama-llama3-shards', coordinator, base);
  const { file } = await openBase(coordinator, base);
  t.same(chatSourceOf(file.metadata), { template, tokens: { bos_token: '<|end|>' } });
});

t.test('sets of shards that are none are refused by name, and leave no base and no file', async (t) => {
  const coordinator = await runCoordinator(t);
  const fleetlora = commandsAt(coordinator);
  /** Tries to import the folder after a change. */
  const attempt = async (change: (folder: string) => Promise<void>) => {
    const folder = await shardFolder(t);
    await change(folder);
    const { code, stderr } = await fleetlora('base', 'import', folder);
    return { code, stderr };
  };
  const index = 'model.safetensors.index.json';
  const editIndex = (edit: (map: Record<string, string>, metadata: Record<string, number>) => void) =>
    attempt(async (folder) => {
      const value = JSON.parse(await readFile(join(folder, index), 'utf8'));
      edit(value.weight_map, value.metadata);
      await writeFile(join(folder, index), JSON.stringify(value));
    });
  t.match(await attempt((folder) => rm(join(folder, shardName(3)))), {
    code: 1,
    stderr: /NOT_FOUND: .*model-00003-of-00006\.safetensors/,
  });
  t.match(await attempt((folder) => rm(join(folder, index))), {
    code: 1,
    stderr: /NOT_FOUND: .*model\.safetensors/,
  });
  t.match(await attempt((folder) => writeFile(join(folder, index), '{"weight_map":')), {
    code: 1,
    stderr: /MODEL_CONFIG: .*index\.json is not JSON/,
  });
  t.same(
    (await readdir(contentOf(coordinator))).length,
    0,
    'what the command sees by itself is not even uploaded',
  );
  t.match(
    await attempt((folder) => copyFile(join(folder, shardName(2)), join(folder, shardName(3)))),
    { code: 1, stderr: /MODEL_CONFIG: .*model-00002-of-00006.*"model-00003-of-00006\.safetensors" holds it/ },
    'one shard under two names',
  );
  t.match(
    await editIndex((map) => {
      map['model.norm.weight'] = shardName(map['model.norm.weight'] === shardName(1) ? 2 : 1);
    }),
    { code: 1, stderr: /MODEL_CONFIG: .*"model\.norm\.weight"/ },
    'a tensor in another shard than the index says',
  );
  t.match(
    await editIndex((map) => {
      map['model.layers.2.mlp.up_proj.weight'] = shardName(1);
    }),
    { code: 1, stderr: /WEIGHT_MISSING: .*model-00001-of-00006.*model\.layers\.2\.mlp\.up_proj\.weight/ },
  );
  t.match(
    await editIndex((_map, metadata) => {
      metadata.total_size = 7;
    }),
    { code: 1, stderr: /MODEL_CONFIG: .*tells of 7 bytes/ },
  );
  t.match(
    await attempt(async (folder) => {
      const bytes = await readFile(join(folder, shardName(4)));
      await writeFile(join(folder, shardName(4)), bytes.subarray(0, bytes.length - 1));
    }),
    { code: 1, stderr: /SAFETENSORS_TRUNCATED/ },
  );
  await leavesNothing(t, coordinator);
});

/** No base is recorded, and every stored file is one that was uploaded: none was made, whole or in part. */
async function leavesNothing(t: Test, coordinator: TestCoordinator): Promise<void> {
  t.same(await coordinator.call('GET /v1/bases'), []);
  const content = contentOf(coordinator);
  for (const name of await readdir(content)) {
    t.match(name, /^[0-9a-f]{64}$/, 'no file that is not whole');
    const text = (await readFile(join(content, name))).toString('latin1');
    t.notMatch(text, 'fleetlora-base');
    t.notMatch(text, '"truncation":null', 'no tokenizer.json that was made of a GGUF file');
  }
  t.same(await readdir(join(coordinator.folder, 'incoming')), []);
}

t.test('GGUF files that are cut, broken or of another kind are refused, and leave nothing', async (t) => {
  const coordinator = await runCoordinator(t);
  const upload = uploadTo(coordinator);
  const good = await hfModelAsGguf('qwen2');
  const attempt = async (gguf: Uint8Array, more: Record<string, string> = {}) => {
    const files = { 'model.gguf': await upload(gguf), ...more };
    const response = await coordinator.request('POST /v1/bases', { body: { name: 'x', files } });
    const { code, message } = (await response.json()) as ApiError;
    return { status: response.status, code, message };
  };
  const everyType = await readFile(join(hfModels, '..', 'gguf-every-type.gguf'));
  t.match(await attempt(good.subarray(0, good.length - 32)), { status: 400, code: 'GGUF_TRUNCATED' });
  t.match(await attempt(good.subarray(0, 100)), { code: 'GGUF_TRUNCATED', message: /offset/ });
  t.match(await attempt(new TextEncoder().encode('{"a": 1}')), { code: 'GGUF_HEADER', message: /offset 0/ });
  t.match(await attempt(everyType), { code: 'TOKENIZER', message: /tokenizer\.ggml\.tokens/ });
  // The last tensor is the last thing in the file: a weight that is no number, after all else was good.
  const spoiled = good.slice();
  new DataView(spoiled.buffer).setFloat32(await lastWeight(good), Number.NaN, true);
  t.match(await attempt(spoiled), { code: 'WEIGHT_NOT_FINITE', message: /layer|norm|embed/ });
  t.match(await attempt(good, { 'tokenizer.json': await upload({ model: {} }) }), { code: 'TOKENIZER' });
  t.match(await attempt(good, { 'model.safetensors': await upload({}) }), {
    code: 'BAD_REQUEST',
    message: /model\.gguf, model\.safetensors/,
  });
  const never = { template: '{{ raise_exception("never") }}', tokens: {} };
  t.match(await attempt(await hfModelAsGguf('qwen2', never)), { code: 'TOKENIZER', message: /never/ });
  await leavesNothing(t, coordinator);
});

/** Where the last value of a GGUF file's last matrix lies. */
async function lastWeight(bytes: Uint8Array): Promise<number> {
  const file = await readGguf(bufferSource(bytes));
  const ends = [...file.tensors.values()]
    .filter(({ shape }) => shape.length === 2)
    .map((tensor) => tensor.offset + tensor.bytes);
  return Math.max(...ends) - 4;
}
