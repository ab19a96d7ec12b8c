import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { fetchedCache, fetchedFolder } from './fetched-programs.js';
import { checkout } from './reference.js';

/** Longest installation: PyTorch's libraries are gigabytes. */
const INSTALL_MS = 900_000;

const peerFile = (name: string): string => join(checkout, 'bench', 'peers', name);

/** Path of a script of bench/peers. */
export const peerScript = peerFile;

/** Peers that are packages of Node.js. */
export type NodePeer = 'llama-cpp' | 'transformers-js';

/** Files of their packages that a program imports. */
const entries: Readonly<Record<NodePeer, string>> = {
  'llama-cpp': 'node_modules/node-llama-cpp/dist/index.js',
  'transformers-js': 'node_modules/@huggingface/transformers/dist/transformers.node.mjs',
};

/**
 * The module of a peer, installed once with the pinned versions of bench/peers/node-packages.json,
 * in a folder outside the checkout: no part of the project depends on it.
 * @throws CHILD_FAILED with npm's words, where no registry answers for example
 */
export function nodePeer(peer: NodePeer): string {
  const pins = JSON.parse(readFileSync(peerFile('node-packages.json'), 'utf8')) as Record<
    NodePeer,
    Record<string, string>
  >;
  const wanted = pins[peer];
  const folder = fetchedFolder(`peer-${peer}-${digestOf(JSON.stringify(wanted))}`, (_work, made) => {
    writeFileSync(join(made, 'package.json'), '{"private":true}');
    const packages = Object.entries(wanted).map(([name, version]) => `${name}@${version}`);
    // Of llama.cpp's binaries the one for this machine's processor; the others are for GPUs.
    const binaries =
      peer === 'llama-cpp'
        ? [
            '--omit=optional',
            `@node-llama-cpp/${process.platform}-${process.arch}@${wanted['node-llama-cpp']}`,
          ]
        : [];
    install(
      'npm',
      ['install', '--no-audit', '--no-fund', '--loglevel=error', ...binaries, ...packages],
      made,
    );
  });
  const entry = join(folder, entries[peer]);
  if (!existsSync(entry))
    throw new CodedError('CHILD_FAILED', `${peer} was installed without ${entries[peer]}`);
  return entry;
}

/** Whether `pythonPeer` would install nothing: gigabytes are fetched when asked for, not by the way. */
export function hasPythonPeer(): boolean {
  return existsSync(join(fetchedCache(pythonName()), 'root', 'bin', 'python'));
}

/**
 * The Python of a virtual environment with the pinned packages of bench/peers/requirements.txt, made
 * once in a folder outside the checkout.
 * @throws CHILD_FAILED with pip's words, or when there is no Python 3 that makes environments
 */
export function pythonPeer(): string {
  const requirements = peerFile('requirements.txt');
  const folder = fetchedFolder(pythonName(), (_work, made) => {
    install('python3', ['-m', 'venv', made], made);
    // Named as a module: an environment's own scripts know the folder that it was made in.
    const pip = ['-m', 'pip', 'install', '-q', '--no-cache-dir', '--disable-pip-version-check'];
    install(join(made, 'bin', 'python'), [...pip, '-r', requirements], made);
  });
  return join(folder, 'bin', 'python');
}

const pythonName = (): string =>
  `peer-python-${digestOf(readFileSync(peerFile('requirements.txt'), 'utf8'))}`;

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

function install(command: string, args: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    // The runtime's install script would fetch GPU libraries that nothing here uses.
    env: { ...process.env, LC_ALL: 'C', ONNXRUNTIME_NODE_INSTALL: 'skip' },
    timeout: INSTALL_MS,
    maxBuffer: 64 * 2 ** 20,
  });
  if (error) throw new CodedError('CHILD_FAILED', `${command}: ${error.message}`, { cause: error });
  if (status !== 0)
    throw new CodedError('CHILD_FAILED', `${command} ${args[0]}: ${stderr.trim().slice(-300)}`);
}
