import { posix } from 'node:path';
import type { ImportLine } from './source-files.js';

/** What a part of the tree may import: ARCHITECTURE.md, "Who may import whom". */
export interface ImportRule {
  /** Own folder is always allowed. Folders of the same workspace, through their index.ts or ports.ts. */
  readonly siblings?: readonly string[];
  /** The same, but only what the compiler erases. */
  readonly siblingTypes?: readonly string[];
  /** Values too, but through ports.ts only: the interfaces that are implemented, with their constants. */
  readonly siblingPorts?: readonly string[];
  /** Files at the workspace's root, such as config.ts. */
  readonly rootFiles?: readonly string[];
  /** Packages, node: builtins as "node:", our own as "@fleetlora/shared" (core) or "@fleetlora/shared/node". */
  readonly packages: readonly string[];
}

const core = '@fleetlora/shared';
const coreAndNode = [core, '@fleetlora/shared/node', 'node:'];
const coreParts = ['protocol', 'graph', 'space', 'weights', 'text', 'statistics', 'engine', 'compress'];
const coreRoot = ['errors', 'units', 'random', 'clock', 'runtime'];
const corePackages = ['typebox', '@huggingface/tokenizers', '@huggingface/jinja', '@noble/hashes'];
const domains = [
  'identity',
  'fleet',
  'models',
  'training',
  'evaluation',
  'campaign',
  'host',
  'rollout',
  'search',
  'retention',
];
const agentParts = [
  'artifacts',
  'child',
  'folder',
  'host',
  'identity',
  'install',
  'link',
  'measure',
  'model',
  'policy',
  'qualify',
  'serve',
];

const sharedPart: ImportRule = { siblings: coreParts, rootFiles: coreRoot, packages: corePackages };
/** Domains know each other by types; search is pure, so calling it is like calling shared. */
const domain: ImportRule = {
  siblingTypes: domains,
  siblings: ['search'],
  packages: [...coreAndNode, 'pino'],
};
const agentPart: ImportRule = {
  siblings: agentParts,
  rootFiles: ['log', 'config'],
  packages: [...coreAndNode, 'ulid', 'pino'],
};

/** Rules by folder ("coordinator/api"), or by workspace root ("coordinator"). */
export const importTable: Readonly<Record<string, ImportRule>> = {
  shared: { rootFiles: coreRoot, packages: corePackages },
  ...Object.fromEntries(coreParts.map((part) => [`shared/${part}`, sharedPart])),
  'shared/node': { ...sharedPart, packages: [...corePackages, 'node:', 'onnxruntime-node'] },
  'shared/web': { ...sharedPart, packages: [...corePackages, 'onnxruntime-web'] },

  ...Object.fromEntries(agentParts.map((part) => [`agent/${part}`, agentPart])),
  'agent/link': { ...agentPart, packages: [...agentPart.packages, 'mqtt'] },
  'agent/serve': { ...agentPart, packages: [...agentPart.packages, 'fastify'] },
  'agent/cli': {
    siblings: agentParts,
    rootFiles: ['agent', 'config', 'log'],
    packages: [...coreAndNode, 'commander', 'picocolors', 'pino', 'ulid'],
  },
  agent: { siblings: agentParts, rootFiles: ['*'], packages: [...coreAndNode, 'pino', 'ulid'] },

  ...Object.fromEntries(domains.map((part) => [`coordinator/${part}`, domain])),
  'coordinator/models': { ...domain, packages: [...domain.packages, 'csv-parse'] },
  'coordinator/search': { packages: [core] },
  'coordinator/store': {
    siblingTypes: domains,
    siblingPorts: domains,
    packages: [...coreAndNode, 'drizzle-orm', '@libsql/client', 'pg'],
  },
  'coordinator/backup': {
    siblings: ['store'],
    packages: [...coreAndNode, 'tar-stream', 'typebox'],
  },
  'coordinator/api': {
    siblings: domains,
    packages: [...coreAndNode, 'fastify', '@fastify/*', 'typebox', 'pino'],
  },
  'coordinator/broker': {
    siblings: domains,
    packages: [...coreAndNode, 'aedes', 'ws', 'pino', 'mqtt-packet'],
  },
  'coordinator/cli': {
    rootFiles: ['app'],
    packages: [core, 'node:', 'commander', 'cli-progress', 'cli-table3', 'picocolors'],
  },
  coordinator: {
    siblings: [...domains, 'store', 'backup', 'api', 'broker'],
    rootFiles: ['*'],
    packages: [...coreAndNode, 'pino', 'ulid', 'drizzle-kit'],
  },
};

/** The rule's key of a file: its workspace and first folder, or the workspace for files at its root. */
export function areaOf(file: string): string {
  const [workspace = '', folder = '', ...rest] = file.split('/');
  return rest.length === 0 ? workspace : `${workspace}/${folder}`;
}

/** Why an import is against the table, or null. Files of areas without a rule are a violation. */
export function violationOf(
  line: ImportLine,
  table: Readonly<Record<string, ImportRule>> = importTable,
): string | null {
  const area = areaOf(line.file);
  const rule = table[area];
  if (!rule) return `${area} has no rule in the import table`;
  const allowed = line.specifier.startsWith('.')
    ? relativeAllowed(line, area, rule)
    : packageAllowed(line, rule);
  return allowed ? null : `${line.file} imports ${line.typeOnly ? 'types of ' : ''}${line.specifier}`;
}

function relativeAllowed(line: ImportLine, area: string, rule: ImportRule): boolean {
  const target = posix.join(posix.dirname(line.file), line.specifier);
  const targetArea = areaOf(target);
  if (targetArea === area && area.includes('/')) return true;
  const [workspace] = line.file.split('/');
  if (target.split('/')[0] !== workspace) return false;
  if (!targetArea.includes('/')) {
    const name = posix.basename(target, '.js');
    return rule.rootFiles?.includes('*') || rule.rootFiles?.includes(name) || false;
  }
  const folder = targetArea.slice(targetArea.indexOf('/') + 1);
  // Inside shared/ the parts are one package, so their files may be named directly.
  const isDoor = workspace === 'shared' || /\/(index|ports)\.js$/.test(target);
  if (!isDoor) return false;
  if (target.endsWith('/ports.js') && rule.siblingPorts?.includes(folder)) return true;
  return rule.siblings?.includes(folder) || (line.typeOnly && rule.siblingTypes?.includes(folder)) || false;
}

function packageAllowed({ specifier }: ImportLine, { packages }: ImportRule): boolean {
  if (specifier.startsWith('node:')) return packages.includes('node:');
  const [platform] = /^@fleetlora\/shared\/(node|web)(?=\/|$)/.exec(specifier) ?? [];
  if (platform !== undefined) return packages.includes(platform);
  return packages.some(
    (name) => name === packageOf(specifier) || (name === '@fastify/*' && specifier.startsWith('@fastify/')),
  );
}

/** "drizzle-orm/libsql" → "drizzle-orm", "@libsql/client/x" → "@libsql/client". */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
