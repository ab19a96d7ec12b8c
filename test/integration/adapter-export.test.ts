import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { writeRandomModel } from '@fleetlora/bench/lib/random-hf-model';
import type { Adapter, AdapterExported, Trial, Upload } from '@fleetlora/shared/protocol';
import { decodeGenome, encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  encodeTensorFile,
  parsePeftConfig,
  readFloats,
  readTensorFile,
  type TensorToWrite,
} from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { commandOf } from '../lib/command-of.js';
import { unpackOldFolders } from '../lib/old-folders.js';
import { runCoordinator, type TestCoordinator, temporaryFolder } from '../lib/running-coordinator.js';
import { openTinyCoordinator } from '../lib/tiny-coordinator.js';
import { tinyPeftConfig, tinyPeftTensors } from '../lib/tiny-llama.js';

/** Every file below a folder, sorted. */
async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

const hfFiles = [
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'tokenizer.json',
  'tokenizer_config.json',
];
const peftFiles = ['adapter_config.json', 'adapter_model.safetensors'];
const kinds = {
  peft: { whole: peftFiles, cut: [...peftFiles, ...hfFiles.map((file) => `base/${file}`)] },
  hf: { whole: hfFiles, cut: hfFiles },
  gguf: { whole: ['adapter.gguf', 'base.gguf'], cut: ['adapter.gguf', 'base.gguf'] },
  onnx: {
    whole: [...hfFiles, 'onnx/model.onnx', 'onnx/model.onnx_data'].filter(
      (file) => file !== 'model.safetensors',
    ),
    cut: [...hfFiles, 'onnx/model.onnx', 'onnx/model.onnx_data'].filter(
      (file) => file !== 'model.safetensors',
    ),
  },
} as const;
/** Unequal widths, mixed ranks; of the tiny model of 2 layers and 8 channels. */
const cutGenome = 'g1:u:4.2.0.1.8/1.1.4.2.4';

t.test('every kind by a command: a whole adapter, and a candidate by its genome', async (t) => {
  const coordinator = await openTinyCoordinator(t);
  const run = commandOf(coordinator);
  for (const [as, wanted] of Object.entries(kinds)) {
    const parent = await temporaryFolder(t);
    const out = join(parent, 'made', 'out');
    const done = await run('adapter', 'export', 'lora', '--as', as, '--out', out);
    t.match(done, { code: 0, err: 'writing the export\n' }, `${as}: ${done.err}`);
    t.same(await listFiles(out), [...wanted.whole].sort(), `${as} of the whole adapter`);
    for (const file of wanted.whole) t.match(done.out, join(out, file), `${as} tells of ${file}`);

    const empty = join(parent, 'empty');
    await mkdir(empty);
    const cut = await run(
      'adapter',
      'export',
      'lora',
      '--as',
      as,
      '--candidate',
      cutGenome,
      '--out',
      empty,
      '--json',
    );
    t.equal(cut.code, 0, cut.err);
    t.same(await listFiles(empty), [...wanted.cut].sort(), `${as} of a candidate, into an empty folder`);
    const answer = JSON.parse(cut.out) as AdapterExported;
    t.equal(answer.genome, cutGenome);
    for (const { path, bytes } of answer.files)
      t.equal((await readFile(join(empty, path))).length, bytes, path);
  }
  t.same(await readdir(join(coordinator.folder, 'incoming')), [], 'nothing is left on the way');
});

t.test('candidates of a search: by number, by id and by label, each with its own ranks', async (t) => {
  const folders = await unpackOldFolders(t, '0.1.0');
  const coordinator = await runCoordinator(t, { folder: folders.coordinator, token: folders.token });
  const run = commandOf(coordinator);
  const trials = await coordinator.call<Trial[]>('GET /v1/searches/old/trials');
  const [max] = trials.filter(({ label }) => label === 'max');
  const other = trials.find(({ genome }) => genome.startsWith('g1:u:') && genome !== max?.genome);
  if (!max || !other) throw new Error('the old search has no such trials');
  for (const [wanted, trial] of [
    [String(other.number), other],
    [`#${other.number}`, other],
    [other.id, other],
    ['max', max],
  ] as const) {
    const out = join(await temporaryFolder(t), 'out');
    const arguments_ = ['--as', 'peft', '--candidate', `old:${wanted}`, '--out', out, '--json'];
    const done = await run('adapter', 'export', 'wide', ...arguments_);
    t.equal(done.code, 0, done.err);
    t.equal((JSON.parse(done.out) as AdapterExported).genome, trial.genome, wanted);
    const peft = parsePeftConfig(JSON.parse(await readFile(join(out, 'adapter_config.json'), 'utf8')));
    decodeGenome(trial.genome).layers.forEach(({ ranks }, layer) => {
      if (ranks.qkv > 0) t.equal(peft.rankOf(`model.layers.${layer}.self_attn.q_proj`), ranks.qkv);
      if (ranks.down > 0) t.equal(peft.rankOf(`model.layers.${layer}.mlp.down_proj`), ranks.down);
    });
  }
  const out = join(await temporaryFolder(t), 'out');
  const refused = async (candidate: string) =>
    run('adapter', 'export', 'wide', '--as', 'peft', '--out', out, '--candidate', candidate);
  t.match(await refused('old:99'), { code: 1, err: /NOT_FOUND: search "old" has no trial "99"/ });
  t.match(await refused('nobody:1'), { code: 1, err: /NOT_FOUND: .*nobody/ });
  t.match(await refused('max'), { code: 2, err: /BAD_USAGE: .*"max", wanted a genome or SEARCH:TRIAL/ });
  t.match(await refused('old:'), { code: 2, err: /BAD_USAGE/ });
  await t.rejects(readdir(out), { code: 'ENOENT' }, 'no folder was made for any of them');
});

/** Runs a command that must fail, and checks what it leaves of the folder. */
async function fails(
  t: Test,
  coordinator: TestCoordinator,
  args: readonly string[],
  wanted: { readonly code: number; readonly err: RegExp },
): Promise<void> {
  const parent = await temporaryFolder(t);
  const done = await commandOf(coordinator)('adapter', 'export', ...args, '--out', join(parent, 'a', 'b'));
  t.match(done, { ...wanted, out: '' }, args.join(' '));
  t.same(await readdir(parent), [], `nothing is left of ${args.join(' ')}`);
}

t.test('what cannot be exported leaves no folder, nor half a file on the coordinator', async (t) => {
  const coordinator = await openTinyCoordinator(t);
  const before = (await readdir(join(coordinator.folder, 'content'))).length;
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['nobody', '--as', 'peft'], 1, /NOT_FOUND: no adapter has the id or name "nobody"/],
    [
      ['lora', '--as', 'hf', '--candidate', 'g1:u:4.4.4.4.8'],
      1,
      /GENOME_OUTSIDE_SPACE: .*1 layers, the base 2/,
    ],
    [
      ['lora', '--as', 'hf', '--candidate', 'g1:u:5.4.4.4.8/4.4.4.4.8'],
      1,
      /GENOME_OUTSIDE_SPACE: .*rank 5.* 4/,
    ],
    [
      ['lora', '--as', 'hf', '--candidate', 'g1:u:4.4.4.4.9/4.4.4.4.8'],
      1,
      /GENOME_OUTSIDE_SPACE: .*width 9.* 8/,
    ],
    [
      ['lora', '--as', 'hf', '--candidate', 'g2:u:fp32:4.4.4.4.8.1/-'],
      1,
      /GENOME_OUTSIDE_SPACE: .*1 key\/value heads/,
    ],
    [['lora', '--as', 'hf', '--candidate', 'g1:u:4.4.4'], 1, /GENOME_MALFORMED|BAD_REQUEST/],
    [
      ['lora', '--as', 'peft', '--candidate', 'g1:u:0.0.0.0.8/0.0.0.0.8'],
      1,
      /ADAPTER_CONFIG: .*rank 0 everywhere/,
    ],
    [['lora', '--as', 'onnx', '--dtype', 'f16'], 1, /WEIGHT_DTYPE: .*f16/],
    [['lora', '--as', 'coreml'], 2, /coreml/],
    [['lora', '--as', 'hf', '--dtype', 'q4'], 2, /q4/],
  ];
  for (const [args, code, err] of cases) await fails(t, coordinator, args, { code, err });
  t.equal((await readdir(join(coordinator.folder, 'content'))).length, before, 'nothing was stored');
  t.match(await commandOf(coordinator)('adapter', 'export', 'lora', '--as', 'peft'), {
    code: 2,
    err: /--out/,
  });
});

t.test(
  'a folder that has something in it, or cannot be one, is refused before anything is asked',
  async (t) => {
    const coordinator = await openTinyCoordinator(t);
    const parent = await temporaryFolder(t);
    const exportBy = (url: string, out: string) =>
      commandOf({ ...coordinator, url })('adapter', 'export', 'lora', '--as', 'peft', '--out', out);
    // Nobody listens there: what is asked of it ends with COORDINATOR_UNREACHABLE.
    const exportTo = (out: string) => exportBy('http://127.0.0.1:9', out);

    await writeFile(join(parent, 'notes.txt'), 'mine');
    t.match(await exportTo(parent), {
      code: 1,
      out: '',
      err: /ALREADY_EXISTS: .*notes\.txt.*empty or not there/,
    });
    t.match(await exportTo(join(parent, 'notes.txt')), { code: 2, err: /BAD_USAGE: .*ENOTDIR/ });
    t.match(await exportTo(join(parent, 'notes.txt', 'below')), { code: 2, err: /BAD_USAGE: .*ENOTDIR/ });
    await symlink(join(parent, 'loop'), join(parent, 'loop'));
    t.match(await exportTo(join(parent, 'loop', 'out')), { code: 2, err: /BAD_USAGE: .*ELOOP/ });
    t.match(await exportTo(join(parent, 'x'.repeat(300))), { code: 2, err: /BAD_USAGE: .*ENAMETOOLONG/ });
    t.same((await readdir(parent)).sort(), ['loop', 'notes.txt']);
    t.equal(await readFile(join(parent, 'notes.txt'), 'utf8'), 'mine');
    t.match(await exportTo(join(parent, 'good')), { code: 1, err: /COORDINATOR_UNREACHABLE/ });

    const locked = join(parent, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o500);
    // Permissions do not hold root back: for this one command it is somebody else.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65534);
    try {
      t.match(await exportTo(join(locked, 'out')), { code: 2, err: /BAD_USAGE: .*EACCES/ });
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
    t.same(await readdir(locked), []);

    // What a killed command left is no reason to refuse, and goes.
    const killed = join(parent, 'killed');
    await mkdir(join(killed, '.fleetlora-part', 'base'), { recursive: true });
    await writeFile(join(killed, '.fleetlora-part', 'base', 'config.json'), '{');
    t.match(await exportBy(coordinator.url, killed), { code: 0 });
    t.same((await readdir(killed)).sort(), peftFiles);
  },
);

t.test('a file that does not come through leaves nothing of the others', async (t) => {
  const coordinator = await openTinyCoordinator(t);
  const asked = await coordinator.call<AdapterExported>('POST /v1/adapters/lora/export', { as: 'hf' });
  const weights = asked.files.find(({ path }) => path === 'model.safetensors');
  const missing = asked.files.map((file) => (file === weights ? { ...file, digest: 'f'.repeat(64) } : file));
  const outside = [{ ...asked.files[0], path: '../outside' }];
  const cases = [
    [{ ...asked, files: missing }, null, /NOT_FOUND/],
    [{ ...asked, files: outside }, null, /MESSAGE_MALFORMED: .*"\.\.\/outside"/],
    [asked, weights?.digest ?? '', /COORDINATOR_UNREACHABLE: .*broke off/],
  ] as const;
  for (const [answer, breaksAt, err] of cases) {
    const url = await answering(t, coordinator, answer, breaksAt);
    await fails(t, { ...coordinator, url }, ['lora', '--as', 'hf'], { code: 1, err });
  }
});

/**
 * A server that passes everything on to the coordinator but exports, which it answers itself.
 * @param breaksAt digest of a file whose second half never comes
 */
async function answering(
  t: Test,
  coordinator: TestCoordinator,
  answer: unknown,
  breaksAt: string | null,
): Promise<string> {
  const server = createServer(async (request, response) => {
    if (request.url?.endsWith('/export')) {
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      return;
    }
    const passed = await coordinator.request(`${request.method} ${request.url}`);
    const body = Buffer.from(await passed.arrayBuffer());
    response.writeHead(passed.status, {
      'content-type': passed.headers.get('content-type') ?? '',
      'content-length': body.length,
    });
    if (breaksAt === null || !request.url?.endsWith(breaksAt)) response.end(body);
    else response.write(body.subarray(0, body.length / 2), () => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}

async function importAdapter(
  coordinator: TestCoordinator,
  name: string,
  files: { readonly config: object; readonly weights: Uint8Array },
): Promise<Adapter> {
  const put = async (raw: Uint8Array): Promise<string> =>
    ((await (await coordinator.request('POST /v1/uploads', { raw })).json()) as Upload).digest;
  return coordinator.call<Adapter>('POST /v1/adapters', {
    name,
    base: 'tiny',
    files: {
      'adapter_config.json': await put(new TextEncoder().encode(JSON.stringify(files.config))),
      'adapter_model.safetensors': await put(files.weights),
    },
  });
}

/** Bytes of every tensor of a safetensors file by name, with its type and shape. */
async function tensorBytes(file: Uint8Array): Promise<Map<string, string>> {
  const opened = await readTensorFile(bufferSource(file));
  const all = new Map<string, string>();
  for (const [name, { dtype, shape, offset, bytes }] of opened.tensors)
    all.set(
      name,
      `${dtype} ${shape.join('x')} ${Buffer.from(await opened.source.read(offset, bytes)).toString('hex')}`,
    );
  return all;
}

t.test(
  'PEFT that was imported comes out as the same tensors, by command and by API, and goes in again',
  async (t) => {
    const coordinator = await openTinyCoordinator(t);
    const mixed = tinyPeftTensors().map((tensor): TensorToWrite => {
      if (!tensor.name.includes('layers.1.mlp.up_proj')) return { ...tensor, dtype: 'BF16' };
      const shape = tensor.name.includes('lora_A') ? [3, 32] : [8, 3];
      const values = tensor.data as Float32Array;
      return { ...tensor, dtype: 'BF16', shape, data: values.slice(0, (shape[0] ?? 0) * (shape[1] ?? 0)) };
    });
    const config = {
      ...tinyPeftConfig(),
      use_rslora: true,
      rank_pattern: { 'layers.1.mlp.up_proj': 3 },
      alpha_pattern: { up_proj: 5 },
    };
    const weights = encodeTensorFile(mixed, { format: 'pt' }, { alignment: 'none' });
    await importAdapter(coordinator, 'mixed', { config, weights });

    const out = join(await temporaryFolder(t), 'out');
    const done = await commandOf(coordinator)('adapter', 'export', 'mixed', '--as', 'peft', '--out', out);
    t.equal(done.code, 0, done.err);
    const exported = {
      config: JSON.parse(await readFile(join(out, 'adapter_config.json'), 'utf8')) as object,
      weights: new Uint8Array(await readFile(join(out, 'adapter_model.safetensors'))),
    };
    t.same(await tensorBytes(exported.weights), await tensorBytes(weights), 'every tensor byte for byte');
    const [was, is] = [parsePeftConfig(config), parsePeftConfig(exported.config)];
    for (const layer of [0, 1])
      for (const module of ['self_attn.q_proj', 'mlp.up_proj', 'mlp.down_proj']) {
        const path = `model.layers.${layer}.${module}`;
        t.equal(is.rankOf(path), was.rankOf(path), `rank of ${path}`);
        t.ok(Math.abs(is.scaleOf(path) / was.scaleOf(path) - 1) < 1e-11, `scale of ${path}`);
      }
    const byApi = await coordinator.call<AdapterExported>('POST /v1/adapters/mixed/export', { as: 'peft' });
    for (const { path, digest } of byApi.files) {
      const response = await coordinator.request(`GET /v1/artifacts/${digest}`);
      t.same(Buffer.from(await response.arrayBuffer()), await readFile(join(out, path)), path);
    }
    t.equal(byApi.genome, encodeGenome(uniformGenome(2, 4, 8)));

    await importAdapter(coordinator, 'again', exported);
    const twice = join(await temporaryFolder(t), 'out');
    t.match(await commandOf(coordinator)('adapter', 'export', 'again', '--as', 'peft', '--out', twice), {
      code: 0,
    });
    for (const file of peftFiles)
      t.same(await readFile(join(twice, file)), await readFile(join(out, file)), file);

    const asF32 = await coordinator.call<AdapterExported>('POST /v1/adapters/mixed/export', {
      as: 'peft',
      dtype: 'f32',
    });
    const larger = asF32.files.find(({ path }) => path.endsWith('safetensors'));
    t.ok((larger?.bytes ?? 0) > exported.weights.length, 'another type where it is asked for');
  },
);

t.test('a model that went out as hf comes in as the base that it was cut to', async (t) => {
  const coordinator = await openTinyCoordinator(t);
  const out = join(await temporaryFolder(t), 'out');
  const run = commandOf(coordinator);
  t.match(await run('adapter', 'export', 'lora', '--as', 'hf', '--candidate', cutGenome, '--out', out), {
    code: 0,
  });
  const imported = await run('base', 'import', out, '--name', 'merged', '--json');
  t.equal(imported.code, 0, imported.err);
  t.match(JSON.parse(imported.out), { name: 'merged', layers: 2, hidden: 32, ffnWidth: 8, vocab: 257 });
  const gguf = join(await temporaryFolder(t), 'out');
  const merged = cutGenome.replace('g1:u', 'g1:m');
  t.match(await run('adapter', 'export', 'lora', '--as', 'gguf', '--candidate', merged, '--out', gguf), {
    code: 0,
  });
  const again = await run('base', 'import', join(gguf, 'model.gguf'), '--name', 'again', '--json');
  t.equal(again.code, 0, again.err);
  t.match(JSON.parse(again.out), { name: 'again', layers: 2, hidden: 32, ffnWidth: 8, vocab: 257 });
});

t.test(
  'a candidate of a quantised base: the weights that its numbers stand for, once they are made',
  async (t) => {
    const coordinator = await runCoordinator(t);
    const run = commandOf(coordinator);
    const parent = await temporaryFolder(t);
    // A Qwen2 of 4 layers, whose sides are all multiples of 32; its q, k and v have biases.
    const { base, adapter } = await writeRandomModel(join(parent, 'model'), 'qwen2');
    t.match(await run('base', 'import', base, '--name', 'random'), { code: 0 });
    t.match(await run('adapter', 'import', adapter, '--base', 'random', '--name', 'random'), { code: 0 });
    const genome = `g2:u:q4:${Array(4).fill('8.4.2.1.96').join('/')}`;
    const exportAs = (as: string, ...more: readonly string[]) =>
      run(
        'adapter',
        'export',
        'random',
        '--as',
        as,
        '--candidate',
        genome,
        '--out',
        join(parent, as),
        ...more,
      );
    t.match(await exportAs('peft'), {
      code: 1,
      err: /NOT_FOUND: .*fleetlora base quantise random --precision q4/,
    });
    t.notOk((await readdir(parent)).includes('peft'));

    t.match(await run('base', 'quantise', 'random', '--precision', 'q4'), { code: 0 });
    const done = await exportAs('peft', '--json');
    t.equal(done.code, 0, done.err);
    t.equal((JSON.parse(done.out) as AdapterExported).genome, genome);
    t.same(await listFiles(join(parent, 'peft')), [...kinds.peft.cut].sort(), 'its base comes along');
    const exported = await readTensorFile(
      bufferSource(await readFile(join(parent, 'peft', 'base', 'model.safetensors'))),
    );
    const original = await readTensorFile(bufferSource(await readFile(join(base, 'model.safetensors'))));
    const name = 'model.layers.3.self_attn.v_proj';
    const [found, was] = [
      await readFloats(exported, `${name}.weight`, [32, 64]),
      await readFloats(original, `${name}.weight`, [32, 64]),
    ];
    for (let block = 0; block < found.length / 32; block++) {
      const values = found.slice(32 * block, 32 * (block + 1));
      t.ok(new Set(values).size <= 16, 'four bits have 16 values');
      const step = (Math.max(...values) - Math.min(...values)) / 8;
      t.ok(
        values.every((value, i) => Math.abs(value - (was[32 * block + i] as number)) <= step),
        'near the original',
      );
    }
    t.same(await readFloats(exported, `${name}.bias`), await readFloats(original, `${name}.bias`));
    for (const as of ['hf', 'gguf', 'onnx']) t.match(await exportAs(as), { code: 0 }, as);
  },
);
