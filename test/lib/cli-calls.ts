import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { checkout } from './reference.js';
import { listSources } from './source-files.js';

/**
 * Which routes each `fleetlora` command calls, read from the source of the command line: what its
 * action calls as `api.call('route')`, `api.upload` or `api.download`, itself or in the functions
 * that it names, however deep.
 */
export function readCliCalls(): ReadonlyMap<string, readonly string[]> {
  const files = listSources()
    .filter((file) => file.startsWith('coordinator/cli/') && !file.includes('/demo/'))
    .map((file) =>
      ts.createSourceFile(file, readFileSync(join(checkout, file), 'utf8'), ts.ScriptTarget.ES2022, true),
    );
  const functions = new Map<string, ts.Node>();
  for (const file of files) for (const [name, node] of topLevelFunctions(file)) functions.set(name, node);

  const calls = new Map<string, readonly string[]>();
  for (const file of files)
    walk(file, (node) => {
      if (!ts.isCallExpression(node) || methodOf(node) !== 'action') return;
      const name = commandName((node.expression as ts.PropertyAccessExpression).expression, files);
      const routes = new Set<string>();
      for (const argument of node.arguments) collectRoutes(argument, functions, routes, new Set());
      calls.set(name, [...routes].sort());
    });
  return calls;
}

const methodOf = (call: ts.CallExpression): string | null =>
  ts.isPropertyAccessExpression(call.expression) ? call.expression.name.text : null;

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  node.forEachChild((child) => walk(child, visit));
}

/** Functions of a file by name: declarations, and constants that are arrow functions. */
function topLevelFunctions(file: ts.SourceFile): [string, ts.Node][] {
  return file.statements.flatMap((statement): [string, ts.Node][] => {
    if (ts.isFunctionDeclaration(statement) && statement.name) return [[statement.name.text, statement]];
    if (!ts.isVariableStatement(statement)) return [];
    return statement.declarationList.declarations.flatMap((declaration): [string, ts.Node][] =>
      ts.isIdentifier(declaration.name) &&
      declaration.initializer &&
      ts.isArrowFunction(declaration.initializer)
        ? [[declaration.name.text, declaration.initializer]]
        : [],
    );
  });
}

/** The routes that `node` calls, and the functions it names; functions are looked into once. */
function collectRoutes(
  node: ts.Node,
  functions: ReadonlyMap<string, ts.Node>,
  routes: Set<string>,
  seen: Set<string>,
): void {
  walk(node, (inner) => {
    if (ts.isIdentifier(inner) && functions.has(inner.text) && !seen.has(inner.text)) {
      seen.add(inner.text);
      collectRoutes(functions.get(inner.text) as ts.Node, functions, routes, seen);
    }
    if (!ts.isCallExpression(inner)) return;
    const [first] = inner.arguments;
    const method = methodOf(inner);
    if (method === 'call' && first && ts.isStringLiteral(first)) routes.add(first.text);
    if (method === 'call' && first && !ts.isStringLiteral(first))
      throw new Error(`${place(inner)}: a route that is no literal cannot be followed`);
    if (method === 'upload') routes.add('upload');
    if (method === 'download') routes.add('artifact');
    if (method === 'backup') routes.add('backup');
  });
}

const place = (node: ts.Node): string =>
  `${node.getSourceFile().fileName}:${node.getSourceFile().getLineAndCharacterOfPosition(node.pos).line + 1}`;

/** "search start" of `withConnection(search.command('start')).summary(…)`, wherever `search` comes from. */
function commandName(chain: ts.Expression, files: readonly ts.SourceFile[]): string {
  if (ts.isIdentifier(chain)) {
    const owner = findOwner(chain, files);
    return owner === null ? '' : commandName(owner, files);
  }
  if (!ts.isCallExpression(chain)) throw new Error(`${place(chain)}: not a command`);
  const [first] = chain.arguments;
  const method = methodOf(chain);
  if (method === null && first) return commandName(first, files);
  const parent = commandName((chain.expression as ts.PropertyAccessExpression).expression, files);
  if (method !== 'command' || !first || !ts.isStringLiteral(first)) return parent;
  return [parent, first.text].filter(Boolean).join(' ');
}

/** What a variable was made of: its initialiser, or the argument it was passed as; null for the program. */
function findOwner(name: ts.Identifier, files: readonly ts.SourceFile[]): ts.Expression | null {
  if (name.text === 'program') return null;
  let scope: ts.Node = name;
  while (!ts.isFunctionDeclaration(scope)) scope = scope.parent;
  let found: ts.Expression | null = null;
  walk(scope, (node) => {
    if (ts.isVariableDeclaration(node) && node.name.getText() === name.text)
      found ??= node.initializer ?? null;
  });
  if (found) return found;
  const index = scope.parameters.findIndex((parameter) => parameter.name.getText() === name.text);
  const called = scope.name?.text;
  for (const file of files)
    walk(file, (node) => {
      if (ts.isCallExpression(node) && node.expression.getText() === called)
        found ??= node.arguments[index] ?? null;
    });
  if (!found) throw new Error(`${place(name)}: nobody says which command "${name.text}" is`);
  return found;
}
