import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createProgram, exitCodeOf, explainError } from '@fleetlora/agent/cli';
import { describeDataFolder } from '@fleetlora/agent/folder';
import { openGates } from '@fleetlora/bench/lib/open-gates';
import { CommanderError } from 'commander';
import t, { type Test } from 'tap';
import { layTinyModel } from '../lib/laid-models.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { tempFolder } from '../lib/temp-folder.js';
import { createTinyModel } from '../lib/tiny-model.js';

/** Runs a command line in this process, as the binary does. */
async function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv = openGates,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' };
  const printer = {
    data: <T>(json: boolean | undefined, value: T, render: (value: T) => string) => {
      text.stdout += `${json ? JSON.stringify(value) : render(value)}\n`;
    },
    say: () => {},
    out: (more: string) => {
      text.stdout += more;
    },
    err: (more: string) => {
      text.stderr += more;
    },
    bold: (word: string) => word,
    isTerminal: false,
  };
  try {
    const { signal } = new AbortController();
    await createProgram({ printer, env, signal }).parseAsync(args, { from: 'user' });
    return { code: 0, ...text };
  } catch (error) {
    if (error instanceof CommanderError) return { code: error.exitCode === 0 ? 0 : 2, ...text };
    return { code: exitCodeOf(error), ...text, stderr: text.stderr + explainError(error) };
  }
}

t.test('used wrongly: exit code 2; failed: exit code 1', async (t) => {
  const data = join(await tempFolder(t), 'agent');
  t.match(await run([]), { code: 2 });
  t.match(await run(['fly']), { code: 2, stderr: /BAD_USAGE: unknown command 'fly'/ });
  t.match(await run(['enroll', 'http://127.0.0.1:1']), {
    code: 2,
    stderr: /missing required argument 'code'/,
  });
  t.match(await run(['enroll', 'nowhere', 'CODE', '--data', data]), {
    code: 2,
    stderr: /"nowhere" is not a URL/,
  });
  t.match(await run(['enroll', 'ftp://host', 'CODE', '--data', data]), {
    code: 2,
    stderr: /starts with ftp:/,
  });
  t.match(await run(['enroll', 'http://127.0.0.1:1', 'CODE', '--name', '?', '--data', data]), {
    code: 2,
    stderr: /"\?" is no device name/,
  });
  t.match(await run(['run', '--serve-port', '65536', '--data', data]), {
    code: 2,
    stderr: /65536.*0 to 65535/,
  });
  t.match(await run(['run', '--threads', '0', '--data', data]), { code: 2, stderr: /--threads 0.*1 to 256/ });
  for (const size of ['0', '2XB', '-1GB', '1126TB'])
    t.match(await run(['run', '--content-limit', size, '--data', data]), {
      code: 2,
      stderr: new RegExp(`--content-limit ${size} is not a size`),
    });
  t.match(await run(['run', '--log', 'loud', '--data', data]), { code: 2, stderr: /loud/ });
  t.match(await run(['run', '--data', data]), {
    code: 1,
    stderr: /STATE_CONFLICT: .*belongs to no coordinator/,
  });
  t.match(await run(['enroll', 'http://127.0.0.1:1', 'CODE', '--data', data]), {
    code: 1,
    stderr: /COORDINATOR_UNREACHABLE: http:\/\/127\.0\.0\.1:1/,
  });
  const status = await run(['status', '--data', join(data, 'none'), '--json']);
  t.match(JSON.parse(status.stdout), { enrolled: false, pid: null });
  t.match(await run(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
});

for (const [option, variable] of [
  ['--cool-wait', 'FLEETLORA_AGENT_COOL_WAIT_SECONDS'],
  ['--quiet-wait', 'FLEETLORA_AGENT_QUIET_WAIT_SECONDS'],
] as const)
  t.test(`${option}, else ${variable}: whole seconds from 0 to 3600`, async (t) => {
    const command = ['run', '--data', join(await tempFolder(t), 'agent')];
    const accepted = { code: 1, stderr: /STATE_CONFLICT: .*belongs to no coordinator/ };
    for (const text of ['0', '3600', '007']) {
      t.match(await run([...command, option, text]), accepted);
      t.match(await run(command, { [variable]: text }), accepted);
    }
    for (const text of ['3601', '-1', '1.5', 'long']) {
      const stderr = new RegExp(`(${option}|${variable}) ${text} is not possible, wanted .* 0 to 3600`);
      t.match(await run([...command, `${option}=${text}`]), { code: 2, stderr });
      t.match(await run(command, { [variable]: text }), { code: 2, stderr });
    }
    t.match(await run([...command, option, '1'], { [variable]: 'long' }), accepted, 'the option goes first');
    t.match(await run(command, { [variable]: '' }), accepted);
  });

t.test('status: the policies are shown while the agent does not run, too', async (t) => {
  const folder = describeDataFolder(join(await tempFolder(t), 'agent'));
  await mkdir(folder.root);
  const policies = [
    { scope: { kind: 'class', name: 'pi5' }, policy: { hours: ['22:00-06:00'], mainsPower: true } },
    { scope: { kind: 'label', name: 'lab' }, policy: { quietSeconds: 90 } },
  ];
  await writeFile(folder.policyFile, JSON.stringify({ policies }));
  const { code, stdout } = await run(['status', '--data', folder.root]);
  t.equal(code, 0);
  t.match(stdout, /^may measure +-$/m);
  t.match(stdout, /^policy +class pi5: 22:00-06:00, mains power$/m);
  t.match(stdout, /^policy +label lab: 90 s of quiet$/m);
  t.match(JSON.parse((await run(['status', '--data', folder.root, '--json'])).stdout), {
    conditions: null,
    policies,
  });
});

t.test('help is worth reading', async (t) => {
  for (const name of ['enroll', 'run', 'status', 'measure']) {
    const { code, stdout } = await run([name, '--help']);
    t.equal(code, 0);
    t.match(stdout, `  fleetlora-agent ${name}`, 'an example of itself');
    t.match(stdout, 'Examples:');
    t.match(stdout, '--json');
  }
  t.match((await run(['--help'])).stdout, /Exit codes: 0 done, 1 failed, 2 used wrongly/);
});

async function openFiles(t: Test) {
  const folder = await tempFolder(t);
  const model = await layTinyModel();
  const base = join(folder, 'base');
  const adapter = join(folder, 'adapter');
  await writeFile(base, model.base);
  await writeFile(adapter, model.adapter);
  const short = [
    '--prompt-tokens',
    '8',
    '--kv-tokens',
    '8',
    '--prefill-repeats',
    '1',
    '--decode-repeats',
    '2',
  ];
  const measure = (...more: string[]) =>
    run(['measure', '--base', base, '--adapter', adapter, ...short, ...more]);
  return { folder, base, model, measure };
}

t.test('measure: a candidate without a coordinator', async (t) => {
  const { measure, folder } = await openFiles(t);
  const { code, stdout, stderr } = await measure('--genome', 'min', '--form', 'merged', '--json');
  t.equal(code, 0, stderr);
  // Without a space, min is an eighth of rank 4, at least 1, and half of 8 channels.
  t.match(JSON.parse(stdout), {
    genome: 'g1:m:1.1.1.1.4/1.1.1.1.4',
    outcome: 'measured',
    // Two decode repeats over five sessions: one each.
    measurement: { decode: { n: 5 } },
  });
  t.same((await readdir(folder)).sort(), ['adapter', 'base'], 'nothing is left beside the files');
});

t.test('measure: a name stands for a candidate in the precision of the base file', async (t) => {
  const model = await createTinyModel(await tempFolder(t), { shape: quantisableShape });
  const { folder, base, adapter } = await quantiseTinyModel(model, 'q4');
  const files = ['--base', join(folder, base.fileName), '--adapter', join(folder, adapter.fileName)];
  const plan = [
    '--prompt-tokens',
    '8',
    '--kv-tokens',
    '8',
    '--prefill-repeats',
    '1',
    '--decode-repeats',
    '2',
  ];
  const measured = await run([
    'measure',
    ...files,
    ...plan,
    '--sessions',
    '1',
    '--genome',
    'middle',
    '--json',
  ]);
  t.equal(measured.code, 0, measured.stderr);
  t.match(JSON.parse(measured.stdout), {
    genome: 'g2:u:q4:2.2.2.2.96/2.2.2.2.96/2.2.2.2.96',
    outcome: 'measured',
  });
});

t.test('measure --against: two more candidates beside the first, in the same sessions', async (t) => {
  const { measure } = await openFiles(t);
  const texts = ['g1:u:2.2.2.2.8/2.2.2.2.8', 'g1:u:3.1.3.1.8/3.1.3.1.8'];
  const compare = (...more: string[]) =>
    measure('--genome', 'max', '--against', ...texts, '--sessions', '1', ...more);
  const found = JSON.parse((await compare('--sustained', '1', '--json')).stdout) as {
    against: string[];
    measurement: { sustained: unknown };
    others: unknown[];
  };
  t.same(found.against, texts);
  t.equal(found.others.length, 2);
  t.match(found.measurement, { batch: { size: 3, position: 0 }, sustained: { steps: Number } });
  const { code, stdout } = await compare();
  t.equal(code, 0);
  t.match(stdout, /^candidate +first token +a token +peak +shipped$/m);
  t.match(stdout, /^g1:u:3\.1\.3\.1\.8\S* .*%.*%/m);
  t.match(stdout, /^its duplicate /m);
  t.match(await measure('--genome', 'max', '--against', 'min'), { code: 1, stderr: /min|another shape/ });
});

t.test('measure: what is refused', async (t) => {
  const { measure, base, model } = await openFiles(t);
  t.match(await measure('--genome', 'g1:u:9.9.9.9.8/9.9.9.9.8'), {
    code: 1,
    stdout: /outcome +rejected/,
    stderr: /rank 9.*is 4/,
  });
  t.match(await measure('--genome', 'most'), { code: 1, stderr: /GENOME_MALFORMED/ });
  t.match(await measure('--genome', 'max', '--form', 'molten'), { code: 2, stderr: /BAD_USAGE.*molten/ });
  t.match(await measure('--genome', 'max', '--space', 'nowhere'), {
    code: 1,
    stderr: /neither a preset \(lonas/,
  });
  await writeFile(base, model.base.subarray(0, 1000));
  t.match(await measure('--genome', 'max'), { code: 1, stderr: /SAFETENSORS_/ });
});
