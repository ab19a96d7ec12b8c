// @ts-check
/**
 * Runs the compiled tests and prints one line a file, every failure with its place and
 * difference, what was skipped and why, and as the last line `N passed, N failed` (assertions; a
 * file that crashes, hangs or plans wrongly counts as one failure). Exit code 1 on any failure.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Parser } from 'tap-parser';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'test', 'dist');

/** As many as there are cores on the smallest machine that runs the suite. */
const FILES_AT_ONCE = 2;
/** More than any file needs, twice over. */
const SECONDS_A_FILE = 900;

/** @typedef {{ passed: number, failed: number, skipped: number, lines: string[] }} FileResult */

/** @returns {string[]} */
function allTests() {
  // Slow suites first keeps both cores busy at the end; names give the order within a suite.
  const suites = ['system', 'integration', 'contract', 'unit'];
  const rank = (/** @type {string} */ path) => suites.indexOf(path.split('/')[0] ?? '');
  return readdirSync(folder, { recursive: true })
    .map((path) => String(path).replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.test.js'))
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .map((path) => relative(root, join(folder, path)));
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const startedMs = Date.now();

/** @param {unknown} value */
const indented = (value) =>
  String(value)
    .trimEnd()
    .split('\n')
    .map((line) => `      ${line}`)
    .join('\n');

/**
 * Counts leaf assertions below `parser` and prints the failed and skipped ones.
 * @param {import('tap-parser').Parser} parser
 * @param {FileResult} file
 * @param {string[]} path
 */
function watch(parser, file, path) {
  let childFailed = false;
  let hadChild = false;
  parser.on('child', (child) => {
    hadChild = true;
    const before = file.failed;
    watch(child, file, [...path, child.name]);
    child.on('complete', () => {
      childFailed = file.failed > before;
    });
  });
  parser.on('assert', (result) => {
    // The line that closes a subtest repeats its outcome: it is news only when no leaf failed.
    const closesChild = hadChild;
    const alreadyTold = closesChild && childFailed;
    hadChild = false;
    childFailed = false;
    const name = [...path, result.name].filter(Boolean).join(' > ');
    if (result.skip || result.todo) {
      file.skipped += 1;
      file.lines.push(
        `  skipped: ${name}${typeof result.skip === 'string' && result.skip ? ` (${result.skip})` : ''}`,
      );
    } else if (result.ok) {
      if (!closesChild) file.passed += 1;
    } else if (!alreadyTold) {
      file.failed += 1;
      const { at, diff, stack, found, wanted, ...rest } = result.diag ?? {};
      file.lines.push(`  FAILED: ${name}`);
      if (at?.fileName) file.lines.push(indented(`at ${at.fileName}:${at.lineNumber}`));
      if (diff) file.lines.push(indented(diff));
      else if (found !== undefined || wanted !== undefined)
        file.lines.push(indented(`found  ${JSON.stringify(found)}\nwanted ${JSON.stringify(wanted)}`));
      if (stack) file.lines.push(indented(stack));
      for (const key of ['exitCode', 'signal', 'expired', 'timeout', 'code', 'reason'])
        if (rest[key] !== undefined && rest[key] !== null) file.lines.push(indented(`${key}: ${rest[key]}`));
    }
  });
}

/**
 * Runs one file in a plain process, not under tap's runner: that one hooks every child process a
 * test starts, and a child without permission to read the hook could not start.
 * @param {string} name
 */
async function runFile(name) {
  /** @type {FileResult} */
  const file = { passed: 0, failed: 0, skipped: 0, lines: [] };
  const fileStartedMs = Date.now();
  const child = spawn(process.execPath, ['--enable-source-maps', name], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TAP_TIMEOUT: String(SECONDS_A_FILE), TAP: '1' },
  });
  const parser = new Parser();
  watch(parser, file, []);
  /** @type {Promise<import('tap-parser').FinalResults>} */
  const complete = new Promise((resolve) => parser.on('complete', resolve));
  child.stdout.pipe(parser);
  // tap ends a test that hangs by itself; this is for a process that does not end after its tests.
  const timer = setTimeout(() => child.kill('SIGKILL'), (SECONDS_A_FILE + 30) * 1000);
  const [exitCode, signal] = await new Promise((resolve) =>
    child.on('close', (/** @type {unknown} */ ...how) => resolve(how)),
  );
  clearTimeout(timer);
  const { ok, plan, count } = await complete;
  if ((!ok || exitCode !== 0) && file.failed === 0) {
    file.failed = 1;
    const end = signal ? `ended with ${signal}` : `ended with exit code ${exitCode}`;
    file.lines.push(
      `  FAILED: the file ${end} after ${count} of ${plan.end ?? 'an unknown number of'} tests`,
    );
  }
  totals.passed += file.passed;
  totals.failed += file.failed;
  totals.skipped += file.skipped;
  const counts = [`${file.passed} passed`];
  if (file.failed > 0) counts.push(`${file.failed} failed`);
  if (file.skipped > 0) counts.push(`${file.skipped} skipped`);
  const seconds = ((Date.now() - fileStartedMs) / 1000).toFixed(1);
  console.log(`${file.failed === 0 ? 'ok    ' : 'FAILED'} ${name}  ${counts.join(', ')}, ${seconds} s`);
  for (const line of file.lines) console.log(line);
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : allTests();
const waiting = [...wanted];
const worker = async () => {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await runFile(name);
};
await Promise.all(Array.from({ length: FILES_AT_ONCE }, worker));
console.log(
  `${wanted.length} files, ${totals.skipped} skipped, ${((Date.now() - startedMs) / 1000).toFixed(0)} s`,
);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
