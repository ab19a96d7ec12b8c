import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '@fleetlora/shared/errors';
import { type LedgerCounts, readFuzzLedger } from './fuzz-ledger.js';
import type { Finding, FuzzTask } from './read-mutants.js';

export interface FuzzPlan {
  /** Compiled module that reads the mutants of the FuzzTask in its last argument. */
  readonly entry: URL;
  /** Arguments before it. */
  readonly args: readonly string[];
  readonly seed: number;
  readonly files: number;
  /** A folder of its own. */
  readonly workFolder: string;
  /** A file that has no answer after this is counted as a hang, and its process killed. */
  readonly hangMs: number;
}

export interface FuzzReport {
  readonly files: number;
  /** Files that were read to their end. */
  readonly read: number;
  readonly pastHeader: number;
  readonly crashes: number;
  readonly hangs: number;
  readonly overReads: number;
  readonly unplaced: number;
  readonly overAllocations: number;
  readonly slowestMs: number;
  readonly refusals: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly findings: readonly Finding[];
}

/**
 * Memory of the reading process, of which Node itself takes about 100 MiB. A header at its ceiling
 * of 16 or 32 MiB still fits; whoever allocates what a file merely says does not.
 */
const DATA_KIB = 512 * 1024;
const HEAP_MIB = 256;
/** Deaths after which a reader needs no more proof. */
const MAX_DEATHS = 50;
/** A process that has not begun by then never will. */
const START_MS = 60_000;
/** Node ends with this when nothing is left that could settle what is awaited. */
const UNSETTLED = 13;

/**
 * Reads the mutants in processes with limited memory. One that dies or hangs is a finding about the
 * file that it was at, and the next goes on behind it.
 */
export async function runFuzz(plan: FuzzPlan): Promise<FuzzReport> {
  const findings = join(plan.workFolder, 'findings.jsonl');
  writeFileSync(findings, '');
  const deaths: Finding[] = [];
  const ledgers: LedgerCounts[] = [];
  for (let from = 0; from < plan.files && deaths.length < MAX_DEATHS; ) {
    const ledger = join(plan.workFolder, `ledger-${ledgers.length}`);
    const task: FuzzTask = { seed: plan.seed, from, to: plan.files, ledger, findings };
    const death = await readInProcess(plan, task);
    const counts = existsSync(ledger) ? readFuzzLedger(ledger) : null;
    if (counts === null) throw new Error(`the fuzzing process did not start: ${death?.message}`);
    ledgers.push(counts);
    if (death === null) break;
    deaths.push({ ...death, file: counts.counts.current });
    from = counts.counts.current + 1;
  }
  const sum = (of: (ledger: LedgerCounts) => number): number =>
    ledgers.reduce((total, ledger) => total + of(ledger), 0);
  const deathsBy = (kind: Finding['kind']): number => deaths.filter((death) => death.kind === kind).length;
  return {
    files: sum(({ counts }) => counts.files) + deaths.length,
    read: sum(({ counts }) => counts.read),
    pastHeader: sum(({ counts }) => counts.pastHeader),
    crashes: sum(({ counts }) => counts.crashes) + deathsBy('crash'),
    hangs: sum(({ counts }) => counts.slow) + deathsBy('hang'),
    overReads: sum(({ counts }) => counts.overReads),
    unplaced: sum(({ counts }) => counts.unplaced),
    overAllocations: sum(({ counts }) => counts.overAllocations),
    slowestMs: Math.max(0, ...ledgers.map(({ counts }) => counts.slowestMs)),
    refusals: addUp(ledgers.map(({ refusals }) => refusals)),
    findings: [...deaths, ...parseFindings(readFileSync(findings, 'utf8'))],
  };
}

type Death = Omit<Finding, 'file'>;

/** One process over a stretch of mutants; null when it read them all. */
function readInProcess(plan: FuzzPlan, task: FuzzTask): Promise<Death | null> {
  const command = [
    process.execPath,
    `--max-old-space-size=${HEAP_MIB}`,
    fileURLToPath(plan.entry),
    ...plan.args,
    JSON.stringify(task),
  ];
  // The shell sets the limit and becomes the process. Memory that is only reserved does not count.
  const script = `ulimit -d ${DATA_KIB} && exec "$@"`;
  const errors = join(plan.workFolder, 'stderr.txt');
  const stderr = openSync(errors, 'w');
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', script, 'sh', ...command], { stdio: ['ignore', 'ignore', stderr] });
    closeSync(stderr);
    const watch = watchProgress(task.ledger, plan.hangMs, () => child.kill('SIGKILL'));
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      watch.stop();
      if (exitCode === 0) resolve(null);
      else if (watch.hung()) resolve({ kind: 'hang', message: `no answer within ${plan.hangMs} ms` });
      else if (exitCode === UNSETTLED) resolve({ kind: 'hang', message: 'waits for what never comes' });
      else {
        const said = readFileSync(errors, 'utf8').slice(-400);
        resolve({
          kind: 'crash',
          message: `process ended with ${signal ?? `exit code ${exitCode}`}: ${said}`,
        });
      }
    });
  });
}

/** Calls `onHang` when a ledger has stood at the same file for too long. */
function watchProgress(
  ledger: string,
  hangMs: number,
  onHang: () => void,
): { stop(): void; hung(): boolean } {
  let last = -1;
  let sinceMs = performance.now();
  let hung = false;
  const timer = setInterval(() => {
    const current = existsSync(ledger) ? (readFuzzLedger(ledger)?.counts.current ?? -1) : -1;
    if (current !== last) {
      last = current;
      sinceMs = performance.now();
    } else if (performance.now() - sinceMs > (last < 0 ? Math.max(hangMs, START_MS) : hangMs)) {
      hung = true;
      onHang();
    }
  }, hangMs / 40);
  return { stop: () => clearInterval(timer), hung: () => hung };
}

function parseFindings(lines: string): Finding[] {
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Finding);
}

function addUp(all: readonly Partial<Record<ErrorCode, number>>[]): Partial<Record<ErrorCode, number>> {
  const total: Partial<Record<ErrorCode, number>> = {};
  for (const counts of all)
    for (const [code, count] of Object.entries(counts) as [ErrorCode, number][])
      total[code] = (total[code] ?? 0) + count;
  return total;
}
