import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { blockNames, documents, fillBlocks } from '../lib/doc-blocks.js';
import { checkout } from '../lib/reference.js';

const read = (name: string): string => readFileSync(join(checkout, name), 'utf8');

for (const name of documents) {
  t.test(`the generated parts of ${name} are those of the code (npm run docs writes them)`, async (t) => {
    const text = read(name);
    t.ok(blockNames(text).length > 0);
    t.equal(fillBlocks(text), text);
  });
}

t.test('commands, errors, topics, routes, limits and imports are all documented', async (t) => {
  const names = documents.flatMap((name) => blockNames(read(name)));
  t.strictSame(names.sort(), ['commands', 'errors', 'imports', 'limits', 'presets', 'routes', 'topics']);
});

t.test('an unknown block is refused', async (t) => {
  t.throws(
    () => fillBlocks('<!-- generated: nonsense -->\nx\n<!-- end -->'),
    /no generated block is named "nonsense"/,
  );
});

t.test('every bench and proof has an npm script, and the README names it', async (t) => {
  const names = readdirSync(join(checkout, 'bench'))
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...read(join('bench', file)).matchAll(/^ {2}name: '((?:bench|proof):\w+)'/gm)])
    .map(([, name]) => name ?? '')
    .sort();
  t.ok(names.length > 10);
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  t.strictSame(
    Object.keys(scripts)
      .filter((script) => /^(bench|proof):/.test(script))
      .sort(),
    names,
  );
  const readme = read('README.md');
  t.strictSame(
    names.filter((name) => !readme.includes(`\nnpm run ${name} `)),
    [],
  );
});

t.test('every npm script and file that the documents name exists', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const texts = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].map(read);
  const named = texts.flatMap((text) =>
    [...text.matchAll(/npm run ([a-z:]+[a-z0-9]*)/g)].map(([, script]) => script ?? ''),
  );
  t.ok(named.length > 5);
  t.strictSame(
    named.filter((script) => scripts[script] === undefined),
    [],
  );
  const links = texts.flatMap((text) =>
    [...text.matchAll(/\]\(((?!http|#)[^)]+)\)/g)].map(([, target]) => target ?? ''),
  );
  for (const target of links)
    t.doesNotThrow(() => readFileSync(join(checkout, target.split('#')[0] ?? '')), target);
});
