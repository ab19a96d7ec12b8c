import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkout } from '../lib/reference.js';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}
const { packages } = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, Locked>;
};

/** Whether the package at `path` finds `name` in its own node_modules or in one above. */
function finds(path: string, name: string): boolean {
  const folders = path.split('/node_modules/');
  return (
    folders.some((_, depth) => {
      const above = folders.slice(0, folders.length - depth).join('/node_modules/');
      return packages[`${above}/node_modules/${name}`.replace(/^\//, '')] !== undefined;
    }) || packages[`node_modules/${name}`] !== undefined
  );
}

t.test('the lockfile holds every package for every platform, so that `npm ci` takes it', async (t) => {
  const missing = Object.entries(packages).flatMap(([path, locked]) =>
    Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })
      .filter((name) => !finds(path, name))
      .map((name) => `${path}: ${name}`),
  );
  t.strictSame(missing, []);
});

t.test('every package is pinned by its digest, and names no registry', async (t) => {
  const outside = Object.entries(packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && !link,
  );
  t.ok(outside.length > 100);
  t.strictSame(
    outside.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path),
    [],
  );
  t.strictSame(
    outside.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path),
    [],
  );
});
