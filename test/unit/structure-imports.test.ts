import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { importTable, packageOf, violationOf } from '../lib/import-table.js';
import { checkout } from '../lib/reference.js';
import { listSources, parseImports, readImports } from '../lib/source-files.js';

const product = /^(shared|coordinator|agent)\//;

t.test('import lines are read: type, value, mixed, re-export, bare and dynamic', async (t) => {
  const source = [
    "import type { A } from './a.js';",
    "import { type B, type C } from './b.js';",
    "import { type D, e } from './d.js';",
    'import {\n  f,\n  g,\n} from "./f.js";',
    "export * from './g.js';",
    "import './h.js';",
    "const i = await import('./i.js');",
    "type J = import('./j.js').J;",
    "// import { k } from './k.js';",
  ].join('\n');
  t.strictSame(
    parseImports('x.ts', source).map(({ specifier, typeOnly }) => [specifier, typeOnly]),
    [
      ['./a.js', true],
      ['./b.js', true],
      ['./d.js', false],
      ['./f.js', false],
      ['./g.js', false],
      ['./h.js', false],
      ['./i.js', false],
    ],
  );
});

t.test('the table refuses what it should', async (t) => {
  const line = (file: string, specifier: string, typeOnly = false) =>
    violationOf({ file, specifier, typeOnly });
  t.equal(line('coordinator/search/nsga2.ts', '@fleetlora/shared/space'), null);
  t.ok(line('coordinator/search/nsga2.ts', 'node:fs'), 'search does no I/O');
  t.ok(line('coordinator/search/nsga2.ts', '@fleetlora/shared/node/runtime'), 'nor by a side door');
  t.ok(line('coordinator/search/nsga2.ts', '../fleet/index.js', true), 'search knows no sibling');
  t.equal(line('coordinator/campaign/x.ts', '../evaluation/ports.js', true), null);
  t.ok(line('coordinator/campaign/x.ts', '../evaluation/ports.js'), 'domains share types only');
  t.ok(line('coordinator/campaign/x.ts', '../evaluation/worker.js', true), 'and only through their door');
  t.ok(line('coordinator/fleet/x.ts', 'drizzle-orm/libsql'), 'the store alone knows the database');
  t.ok(line('coordinator/api/x.ts', '../store/index.js'));
  t.ok(line('coordinator/cli/x.ts', '../models/index.js'));
  t.ok(line('shared/graph/x.ts', 'node:fs'), 'the core is pure');
  t.ok(line('shared/graph/x.ts', '../node/index.js'), 'the core knows no platform');
  t.ok(line('shared/web/x.ts', '../node/index.js'));
  t.ok(line('agent/measure/x.ts', '@fleetlora/coordinator'));
  t.ok(line('agent/measure/x.ts', 'fastify'), 'fastify in serve only');
  t.ok(line('coordinator/new-folder/x.ts', './y.js'), 'a new folder needs a rule');
});

t.test('every import of shared/, coordinator/ and agent/ is in the table of ARCHITECTURE.md', async (t) => {
  const files = listSources().filter((file) => product.test(file));
  t.ok(files.length > 50, `${files.length} files are looked at`);
  t.strictSame(
    files
      .flatMap((file) => readImports(file).map((line) => violationOf(line)))
      .filter((violation) => violation !== null),
    [],
  );
});

t.test('every rule of the table has its folder', async (t) => {
  const areas = new Set(listSources().map((file) => file.split('/').slice(0, -1).slice(0, 2).join('/')));
  t.strictSame(
    Object.keys(importTable).filter((area) => !areas.has(area)),
    [],
  );
});

t.test('tests and benches use published entry points', async (t) => {
  const outside = listSources()
    .filter((file) => /^(test|bench)\//.test(file))
    .flatMap(readImports)
    .filter(
      ({ file, specifier }) =>
        specifier.startsWith('.') && join(file, '..', specifier).split('/')[0] !== file.split('/')[0],
    );
  t.strictSame(outside, []);
});

t.test('every imported package is a dependency of its workspace', async (t) => {
  const declared = (workspace: string): Set<string> => {
    const read = (path: string) =>
      JSON.parse(readFileSync(join(checkout, path, 'package.json'), 'utf8')) as Record<
        string,
        Record<string, string>
      >;
    const own = read(workspace);
    // The tools that run tests are the root's.
    const root = workspace === 'test' || workspace === 'bench' ? (read('.').devDependencies ?? {}) : {};
    return new Set(Object.keys({ ...own.dependencies, ...own.devDependencies, ...root }));
  };
  const missing = new Set<string>();
  for (const workspace of ['shared', 'coordinator', 'agent', 'test', 'bench']) {
    const names = declared(workspace);
    for (const file of listSources().filter((path) => path.startsWith(`${workspace}/`)))
      for (const { specifier } of readImports(file))
        if (!specifier.startsWith('.') && !specifier.startsWith('node:') && !names.has(packageOf(specifier)))
          missing.add(`${workspace}: ${packageOf(specifier)} (${file})`);
  }
  t.strictSame([...missing], []);
});
