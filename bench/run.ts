/**
 * The runner of every bench and proof:
 *
 *   npm run proof:NAME -- [--quick] [--json FILE] [options of the bench]
 *
 * Prints a table; `--json` writes the figures with machine, versions, date and commit. Exit code
 * 1 when a check fails, 2 on bad usage.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { adapterProof } from './adapter.js';
import { arm64Proof } from './arm64.js';
import { decodeBench } from './decode.js';
import { diskProof } from './disk.js';
import { exportsProof } from './exports.js';
import { fuzzProof } from './fuzz.js';
import { importBench } from './import.js';
import { killProof } from './kill.js';
import type { Bench } from './lib/bench.js';
import { renderResult } from './lib/render-result.js';
import { readSurroundings } from './lib/surroundings.js';
import { measureBench } from './measure.js';
import { oracleProof } from './oracle.js';
import { perplexityProof } from './perplexity.js';
import { responsiveProof } from './responsive.js';
import { switchBench } from './switch.js';
import { tableProof } from './table.js';
import { trainBench } from './train.js';

const benches: readonly Bench[] = [
  oracleProof,
  tableProof,
  adapterProof,
  responsiveProof,
  killProof,
  diskProof,
  arm64Proof,
  exportsProof,
  fuzzProof,
  importBench,
  measureBench,
  perplexityProof,
  switchBench,
  decodeBench,
  trainBench,
];

function usage(): string {
  const lines = benches.flatMap((bench) => [
    `  ${bench.name.padEnd(18)} ${bench.summary}`,
    ...Object.entries(bench.options).map(([name, text]) => `      --${name.padEnd(12)} ${text}`),
  ]);
  return ['usage: npm run NAME -- [--quick] [--json FILE] [options]', '', ...lines].join('\n');
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  const bench = benches.find((candidate) => candidate.name === name);
  if (!bench) {
    console.error(
      name === undefined || name === '--help' ? usage() : `no bench is named "${name}"\n${usage()}`,
    );
    return name === '--help' ? 0 : 2;
  }
  let values: Record<string, string | boolean | undefined>;
  try {
    const own = Object.fromEntries(
      Object.keys(bench.options).map((option) => [option, { type: 'string' as const }]),
    );
    ({ values } = parseArgs({
      args: rest,
      options: { quick: { type: 'boolean' }, json: { type: 'string' }, help: { type: 'boolean' }, ...own },
    }));
  } catch (error) {
    console.error(`${bench.name}: ${messageOf(error)}\n${usage()}`);
    return 2;
  }
  if (values.help) {
    console.log(usage());
    return 0;
  }
  const { quick, json, help: _help, ...options } = values;
  return runBench(bench, {
    quick: quick === true,
    jsonFile: typeof json === 'string' ? json : null,
    options: options as Record<string, string | undefined>,
  });
}

async function runBench(
  bench: Bench,
  {
    quick,
    jsonFile,
    options,
  }: { quick: boolean; jsonFile: string | null; options: Record<string, string | undefined> },
): Promise<number> {
  const startedMs = performance.now();
  const surroundings = await readSurroundings(new Date());
  const workFolder = await mkdtemp(join(tmpdir(), 'fleetlora-bench-'));
  try {
    const result = await bench.run({ quick, options, workFolder, say: (text) => console.error(text) });
    const passed = result.skipped === undefined && result.checks.every((check) => check.passed);
    const seconds = (performance.now() - startedMs) / 1000;
    const { cpu, cores } = surroundings.machine;
    console.log(`${bench.name}${quick ? ' (quick)' : ''}: ${bench.summary}`);
    console.log(`on ${cpu}, ${cores} cores, Node ${process.versions.node}\n`);
    console.log(result.skipped === undefined ? renderResult(result) : `SKIPPED: ${result.skipped}`);
    console.log(
      `\n${result.skipped !== undefined ? 'skipped' : passed ? 'passed' : 'FAILED'} after ${seconds.toFixed(1)} s`,
    );
    if (jsonFile !== null) {
      const report = { name: bench.name, quick, passed, seconds, ...result, ...surroundings };
      await writeFile(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
    }
    return passed || result.skipped !== undefined ? 0 : 1;
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(isCoded(error) ? `${error.code}: ${error.message}` : error);
  process.exitCode = isCoded(error, 'BAD_USAGE') ? 2 : 1;
}
