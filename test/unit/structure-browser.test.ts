import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { checkout } from '../lib/reference.js';

const { exports } = JSON.parse(readFileSync(join(checkout, 'shared', 'package.json'), 'utf8')) as {
  exports: Record<string, string>;
};
/** Everything but the door to Node. */
const entries = Object.entries(exports).filter(([name]) => !/^\.\/node(\/|$)/.test(name));

t.test('shared/ has a core and two doors', async (t) => {
  t.ok(exports['./node'] && exports['./web']);
  t.ok(entries.length >= 10, `${entries.length} entry points besides ./node`);
});

for (const [name, path] of entries) {
  t.test(`@fleetlora/shared${name.slice(1)} bundles for the browser without Node`, async (t) => {
    const { metafile, errors } = await build({
      entryPoints: [join(checkout, 'shared', path)],
      bundle: true,
      write: false,
      metafile: true,
      platform: 'browser',
      format: 'esm',
      logLevel: 'silent',
      external: ['onnxruntime-web'],
    });
    t.strictSame(errors, []);
    const inputs = Object.keys(metafile.inputs);
    t.strictSame(
      inputs.filter((input) => /onnxruntime-node|shared\/dist\/node\//.test(input)),
      [],
      'nothing of Node comes along',
    );
    const imported = Object.values(metafile.inputs).flatMap((input) =>
      input.imports.map((line) => line.path),
    );
    t.strictSame(
      imported.filter((line) => line.startsWith('node:')),
      [],
      'no node: import',
    );
  });
}
