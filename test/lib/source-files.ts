import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { checkout } from './reference.js';

export interface ImportLine {
  /** Path of the importing file from the checkout, with `/`: "coordinator/app.ts". */
  readonly file: string;
  readonly specifier: string;
  /** Erased by the compiler: `import type`, `export type`, or every name marked `type`. */
  readonly typeOnly: boolean;
}

const workspaces = ['shared', 'coordinator', 'agent', 'test', 'bench'] as const;

/** Every TypeScript source of the workspaces, as paths from the checkout with `/`. */
export function listSources(): string[] {
  return workspaces.flatMap((workspace) =>
    readdirSync(join(checkout, workspace), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
      .map((entry) => relative(checkout, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .filter((path) => !/(^|\/)(node_modules|dist|\.tap)\//.test(path)),
  );
}

const FROM = /^[ \t]*(?:import|export)\s+(type\s+)?([\w\s{},*$]+?)\s*from\s*['"]([^'"]+)['"]/gm;
const BARE = /^[ \t]*import\s*['"]([^'"]+)['"]/gm;
const CALL = /\bimport\(\s*['"]([^'"]+)['"]\s*\)(?!\s*\.\s*[A-Z])/g;

/** The import lines of a source file; the type-only form `import('x').Name` is left out. */
export function readImports(file: string): ImportLine[] {
  return parseImports(file, readFileSync(join(checkout, file), 'utf8'));
}

export function parseImports(file: string, source: string): ImportLine[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const lines: ImportLine[] = [];
  for (const [, typeKeyword, names = '', specifier = ''] of code.matchAll(FROM))
    lines.push({ file, specifier, typeOnly: typeKeyword !== undefined || allNamesAreTypes(names) });
  for (const pattern of [BARE, CALL])
    for (const [, specifier = ''] of code.matchAll(pattern)) lines.push({ file, specifier, typeOnly: false });
  return lines;
}

function allNamesAreTypes(names: string): boolean {
  const inner = /^\{([\s\S]*)\}$/.exec(names.trim())?.[1];
  if (inner === undefined) return false;
  const list = inner
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  return list.length > 0 && list.every((name) => name.startsWith('type '));
}
