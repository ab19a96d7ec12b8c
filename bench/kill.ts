import { CodedError } from '@fleetlora/shared/errors';
import { createRandom } from '@fleetlora/shared/random';
import { type Bench, type BenchInput, type BenchResult, type Check, skip } from './lib/bench.js';
import { importDemoModels, importTinyModels } from './lib/kill-models.js';
import { killInRounds, type Victim, type VictimResult, victims } from './lib/kill-rounds.js';
import { startKillableFleet } from './lib/killable-fleet.js';
import { type PostgresServer, startPostgres } from './lib/postgres-server.js';
import { viewPostgres, viewSqlite } from './lib/store-view.js';

const engines = ['sqlite', 'postgres'] as const;
const QUICK_ROUNDS = 1;
const ROUNDS = 10;
/** Trials of a search: quick ones end soon, others take some twenty kills. */
const QUICK_TRIALS = 16;
const TRIALS = 60;
const MOST_ROUNDS = 10_000;

/**
 * kill -9 of each process at random moments of a search, while at least ten jobs are queued and
 * one is being measured: nothing acknowledged is lost, nothing is counted twice, everything ends.
 */
export const killProof: Bench = {
  name: 'proof:kill',
  summary: 'kill -9 of coordinator, agent, measuring child and training worker while they work',
  options: {
    rounds: `kills of each process (${ROUNDS}; ${QUICK_ROUNDS} with --quick, on a tiny model)`,
    store: `${engines.join(' or ')}, a server of its own (sqlite)`,
    process: `one of ${victims.join(', ')}; more with commas (all)`,
    seed: 'of the random moments (1)',
  },
  async run(input) {
    if (process.platform !== 'linux') return skip('it looks for processes in /proc, which only Linux has');
    const settings = parseOptions(input);
    if (settings.engine === 'sqlite') return proveKills(input, settings, null);
    const server = await startPostgres();
    if (typeof server === 'string') return skip(server);
    try {
      return await proveKills(input, settings, server);
    } finally {
      await server.remove();
    }
  },
};

interface Settings {
  readonly rounds: number;
  readonly engine: (typeof engines)[number];
  readonly chosen: readonly Victim[];
  readonly seed: number;
}

function parseOptions({ quick, options }: BenchInput): Settings {
  const whole = (name: string, text: string | undefined, fallback: number, most: number): number => {
    const value = text === undefined ? fallback : Number(text);
    if (!Number.isInteger(value) || value < 1 || value > most)
      throw new CodedError('BAD_USAGE', `--${name} is ${text}, wanted a whole number from 1 to ${most}`);
    return value;
  };
  const one = <T extends string>(name: string, text: string, known: readonly T[]): T => {
    const found = known.find((value) => value === text);
    if (found === undefined)
      throw new CodedError('BAD_USAGE', `--${name} is ${text}, wanted one of ${known.join(', ')}`);
    return found;
  };
  return {
    rounds: whole('rounds', options.rounds, quick ? QUICK_ROUNDS : ROUNDS, MOST_ROUNDS),
    engine: one('store', options.store ?? 'sqlite', engines),
    chosen: options.process?.split(',').map((name) => one('process', name.trim(), victims)) ?? victims,
    seed: whole('seed', options.seed, 1, 2 ** 31),
  };
}

async function proveKills(
  { quick, workFolder, say }: BenchInput,
  { rounds, chosen, seed }: Settings,
  server: PostgresServer | null,
): Promise<BenchResult> {
  const fleet = await startKillableFleet(workFolder, server && (await server.createDatabase('kill')));
  try {
    const view = server ? viewPostgres(server, 'kill') : viewSqlite(fleet.coordinatorFolder, workFolder);
    const models = await (quick ? importTinyModels : importDemoModels)(fleet, workFolder);
    const random = createRandom(seed);
    const trials = quick ? QUICK_TRIALS : TRIALS;
    const result = await killInRounds({ victims: chosen, rounds, trials, fleet, view, models, random, say });
    for (const finding of result.findings) say(finding);
    return {
      figures: {
        store: view.engine,
        model: quick ? 'tiny' : 'demo base',
        searches: result.searches,
        processes: result.processes.map((figures) => ({ ...figures })),
        findings: result.findings,
      },
      checks: result.processes.flatMap(checksOf),
    };
  } finally {
    await fleet.stop();
  }
}

function checksOf(result: VictimResult): Check[] {
  const { victim, rounds, struck } = result;
  const none = (['lost', 'repeated', 'spoiled', 'stuck'] as const).map((name) => ({
    name: `${victim}: ${name}`,
    found: String(result[name]),
    wanted: '0',
    passed: result[name] === 0,
  }));
  const kills = {
    name: `${victim}: struck while busy`,
    found: String(struck),
    wanted: String(rounds),
    passed: struck === rounds,
  };
  return [kills, ...none];
}
