// @ts-check
/**
 * The door of a fresh checkout: `node deploy/run.mjs demo|test|bench|docs|setup ...arguments`.
 * Checks the Node.js version, installs with the lockfile when node_modules does not match it,
 * builds what changed, and does what was asked. Needs nothing but Node.js and its npm.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { reasonToInstall } from './install-state.mjs';
import { nodeVersionProblem } from './node-version.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const USAGE = `usage: node deploy/run.mjs demo|test|bench|docs|setup [arguments]

  demo [--keep] [--report FILE] [--train]   the whole product on this machine
  test [FILE...]                            every test, or some compiled test files
  bench NAME [--quick] [--json FILE]        one bench or proof, for example proof:table
  docs                                      write the generated parts of the documentation anew
  setup                                     install and build only`;

/** Ends the process with the first line of trouble, without a stack. @param {string} text @param {number} code @returns {never} */
function fail(text, code) {
  console.error(text);
  process.exit(code);
}

/** @param {string} title @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} env @param {boolean} shell */
function runStep(title, command, args, env, shell) {
  const startedMs = Date.now();
  console.error(`${title} ...`);
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: ['ignore', 2, 2], shell });
  if (error) fail(`${title} failed: ${error.message}`, 1);
  if (status !== 0) fail(`${title} failed with exit code ${status}; its messages stand above`, 1);
  console.error(`${title}: done in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
}

function install() {
  const reason = reasonToInstall(root);
  if (reason === null) return;
  // Inside `npm run` npm says where it lies; else the one on the PATH is meant.
  const npm = process.env.npm_execpath;
  const [command, args] = npm && existsSync(npm) ? [process.execPath, [npm]] : ['npm', []];
  // The runtime's install script would fetch GPU libraries that nothing here uses.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  const flags = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  runStep(
    `installing packages (${reason})`,
    command,
    [...args, ...flags],
    env,
    process.platform === 'win32' && command === 'npm',
  );
}

function build() {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  runStep('building', process.execPath, [compiler, '-b'], process.env, false);
}

/** Hands this process over to `entry`, so that signals reach it directly. @param {string} entry @param {string[]} args */
async function become(entry, args) {
  const path = join(root, entry);
  process.argv = [process.execPath, path, ...args];
  await import(pathToFileURL(path).href);
}

const problem = nodeVersionProblem(process.versions.node);
if (problem !== null) fail(problem, 1);

const [task, ...args] = process.argv.slice(2);
/** @type {Record<string, () => Promise<void>>} */
const tasks = {
  demo: () => become('coordinator/dist/cli/main.js', ['demo', ...args]),
  test: () => become('deploy/run-tests.mjs', args),
  bench: () => become('bench/dist/run.js', args),
  docs: () => become('deploy/write-docs.mjs', args),
  setup: async () => {},
};
const chosen = task === undefined ? undefined : tasks[task];
if (!chosen) fail(task === undefined ? USAGE : `unknown task "${task}"\n${USAGE}`, 2);
install();
build();
await chosen();
