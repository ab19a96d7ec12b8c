import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSyntheticModel } from '@fleetlora/bench/lib/write-synthetic-model';
import { sha256File } from '@fleetlora/shared/node';
import type { Base } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { runCli, spawnCli, waitForOutput } from '../lib/run-cli.js';
import { tempFolder } from '../lib/temp-folder.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

t.setTimeout(180_000);

/** A coordinator in a process of its own over `data`, killed after the test at the latest. */
async function startUp(t: Test, data: string): Promise<ChildProcess> {
  const ports = ['--port', '0', '--mqtt-port', '0', '--log', 'error'];
  const child = spawnCli('fleetlora', ['up', '--data', data, ...ports]);
  t.teardown(() => kill(child));
  await waitForOutput(child, /coordinator +http:\S+/);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Resolves as soon as a file that is not whole yet appears in a folder. */
function partAppears(folder: string): Promise<string> {
  return new Promise((resolve) => {
    const watcher = watch(folder, (_event, name) => {
      if (!name?.endsWith('.part')) return;
      watcher.close();
      resolve(name);
    });
  });
}

t.test(
  'the coordinator is killed in the middle of an import: nothing of it stays, and it can be repeated',
  async (t) => {
    const folder = await tempFolder(t);
    const data = join(folder, 'coordinator');
    const content = join(data, 'content');
    const model = join(folder, 'model');
    await mkdir(model);
    // 17 million weights: laying them out takes long enough to be killed in.
    const shape = {
      layers: 4,
      hidden: 512,
      heads: 8,
      kvHeads: 4,
      ffnWidth: 2048,
      vocab: 4096,
      tiedHead: true,
    };
    const { files, parameters } = await writeSyntheticModel(model, shape, 2);
    await writeFile(join(model, 'tokenizer.json'), JSON.stringify(tinyTokenizer()));
    const at = { FLEETLORA_DATA: data };
    const importModel = () => runCli('fleetlora', ['base', 'import', model, '--name', 'tiny', '--json'], at);

    const first = await startUp(t, data);
    const part = partAppears(content);
    const broken = importModel();
    const name = await part;
    await kill(first);
    const { code, stdout } = await broken;
    t.equal(code, 1, 'the command says that it failed');
    t.equal(stdout, '');
    const left = await readdir(content);
    t.ok(left.includes(name), 'it was killed before the file was whole');
    t.equal(left.length, files.length + 1 + 1, 'uploads, their tokenizer, and the file that is not whole');

    await startUp(t, data);
    const uploads = left.filter((one) => one !== name).sort();
    t.same((await readdir(content)).sort(), uploads, 'what was not whole is gone');
    const listed = await runCli('fleetlora', ['base', 'list', '--json'], at);
    t.same(JSON.parse(listed.stdout), []);

    const again = await importModel();
    t.equal(again.code, 0, again.stderr);
    const base = JSON.parse(again.stdout) as Base;
    t.match(base, { name: 'tiny', parameters, layers: 4 });
    t.same(
      (await readdir(content)).sort(),
      [...uploads, base.digest].sort(),
      'the same uploads, and one file',
    );
    t.equal((await stat(join(content, base.digest))).size, base.bytes);
    t.equal(await sha256File(join(content, base.digest)), base.digest);
  },
);
