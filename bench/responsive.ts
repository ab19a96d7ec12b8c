import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { defaultMeasurePlan, type Search, type Training } from '@fleetlora/shared/protocol';
import { parseSearchSpace } from '@fleetlora/shared/space';
import { atLeast, atMost, type Bench } from './lib/bench.js';
import { type LocalFleet, runNode, startLocalFleet, until } from './lib/local-fleet.js';
import { checkout } from './lib/reference.js';

const GOAL_MS = 50;
/** Sampling interval of the event-loop clock; it is part of every raw sample and subtracted. */
const RESOLUTION_MS = 1;
const demo = join(checkout, 'deploy', 'demo');

interface Phase {
  readonly phase: string;
  readonly longestMs: number;
  readonly p99Ms: number;
  readonly seconds: number;
}

/**
 * How long the coordinator's event loop is ever held up: it runs in this process, with a device in
 * another, while it imports, trains, evaluates and searches at the same time.
 */
export const responsiveProof: Bench = {
  name: 'proof:responsive',
  summary: 'longest event-loop delay of a coordinator that imports, trains, evaluates and searches',
  options: {},
  async run({ quick, workFolder, say }) {
    const dataFolder = join(workFolder, 'data');
    await runNode([join(demo, 'build-dataset.mjs'), '--out', dataFolder]);
    const fleet = await startLocalFleet(workFolder);
    const phases: Phase[] = [];
    const measured = async <T>(phase: string, work: () => Promise<T>): Promise<T> => {
      say(phase);
      const startedMs = performance.now();
      const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
      delays.enable();
      const result = await work();
      delays.disable();
      const inMs = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
      phases.push({
        phase,
        longestMs: inMs(delays.max),
        p99Ms: inMs(delays.percentile(99)),
        seconds: (performance.now() - startedMs) / 1000,
      });
      return result;
    };
    try {
      await measured('import', () => importAll(fleet, dataFolder));
      const table = join(workFolder, 'table.csv');
      await writeFile(table, makeTable(quick ? 20_000 : 1_000_000));
      await measured('import a large CSV file', () => importTable(fleet, table));
      const search = await measured('train, evaluate and search', () =>
        trainAndSearch(fleet, {
          trials: quick ? 6 : 24,
          scoreRows: quick ? 60 : 200,
        }),
      );
      const longestMs = Math.max(...phases.map((phase) => phase.longestMs));
      return {
        figures: {
          longestMs,
          trials: search.finishedTrials,
          phases: phases.map((phase) => ({ ...phase })),
        },
        checks: [
          atLeast('trials', search.finishedTrials, 1),
          atMost('longest event-loop delay', longestMs, GOAL_MS, ' ms'),
        ],
      };
    } finally {
      await fleet.stop();
    }
  },
};

/** Imports the demo's base and super-adapter (both named after their folder) and both parts of its data. */
async function importAll(fleet: LocalFleet, dataFolder: string): Promise<void> {
  await fleet.command(['base', 'import', join(demo, 'base')]);
  const space = ['--space', join(demo, 'space.json')];
  await fleet.command(['adapter', 'import', join(demo, 'adapter'), '--base', 'base', ...space]);
  for (const part of ['test', 'train'])
    await fleet.command(['dataset', 'import', join(dataFolder, `${part}.jsonl`)]);
}

/** A CSV file of this many rows, about 100 bytes each, of 77 classes. */
function makeTable(rows: number): string {
  const filler = 'and some more words so that a row is about as long as a question';
  const lines = Array.from({ length: rows }, (_, row) => `"question ${row}, ${filler}",class_${row % 77}`);
  return `text,label\n${lines.join('\n')}\n`;
}

/** Imports it in every way that costs time: templates, made splits, a pattern tried on each row. */
async function importTable(fleet: LocalFleet, path: string): Promise<void> {
  const templates = ['--prompt-template', 'Message: {text}\\nIntent:', '--label-column', 'label'];
  const scorer = ['--scorer', 'regex', '--pattern', 'class (\\d+)'];
  await fleet.command(['dataset', 'import', path, '--split', '80/10/10', ...templates, ...scorer]);
}

/** Starts a training and a search together, and ends the training once the search has ended. */
async function trainAndSearch(
  fleet: LocalFleet,
  { trials, scoreRows }: { readonly trials: number; readonly scoreRows: number },
): Promise<Search> {
  const training = await fleet.call<Training>('POST /v1/trainings', {
    name: 'trained',
    base: 'base',
    dataset: 'train',
    space: parseSearchSpace(JSON.parse(await readFile(join(demo, 'space.json'), 'utf8'))),
    options: { steps: 100_000, batchRows: 32, threads: 1 },
  });
  const search = await fleet.call<Search>('POST /v1/searches', {
    name: 'search',
    adapter: 'adapter',
    dataset: 'test',
    deviceClass: fleet.deviceClass,
    strategy: 'nsga2',
    quality: 'loss',
    costs: ['decodeMs'],
    trials,
    seed: 1,
    scoreRows,
    finalRows: scoreRows,
    finalPoints: 2,
    require: [],
    plan: defaultMeasurePlan,
    maxTokens: 64,
    // This machine is made busy on purpose: its device would be found to drift.
    sentinelEvery: 0,
  });
  const ended = await until(
    () => fleet.call<Search>(`GET /v1/searches/${search.id}`),
    ({ state }) => state !== 'running' && state !== 'finalizing',
  );
  await fleet.call(`POST /v1/trainings/${training.id}/stop`, {});
  await until(
    () => fleet.call<Training>(`GET /v1/trainings/${training.id}`),
    ({ state }) => state !== 'running',
  );
  return ended;
}
