import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { createStrategy, type StrategyName } from '@fleetlora/coordinator/search';
import { bindSearchSpace, costOf, type Genome } from '@fleetlora/shared/space';
import { hypervolume, median } from '@fleetlora/shared/statistics';
import t from 'tap';
import { findReference, missingReference } from '../lib/reference.js';

const BUDGETS = [25, 50, 100, 200];
const SEEDS = 7;
const TABLE = ['nas-table', 'banking77-grouped.csv.gz'];

/** Measured accuracy of all 6,561 sub-networks with layers tied in pairs: a front that is known. */
function readTable(path: string): Map<string, readonly [number, number]> {
  const choices = [768, 576, 384].flatMap((width) => [4, 16, 32].map((rank) => ({ rank, width })));
  const lines = gunzipSync(readFileSync(path)).toString().trim().split('\n').slice(1);
  return new Map(
    lines.map((line) => {
      const [p0, p1, p2, p3, correct] = line.split(',').map(Number) as [
        number,
        number,
        number,
        number,
        number,
      ];
      const layers = [p0, p1, p2, p3].map((index) => {
        const { rank, width } = choices[index] as { rank: number; width: number };
        return { ranks: { qkv: rank, o: rank, gateUp: rank, down: rank }, width };
      });
      return [
        keyOf({ form: 'unmerged', layers }),
        [1 - correct / 1540, activeParameters({ form: 'unmerged', layers })],
      ];
    }),
  );
}
const keyOf = (genome: Genome): string =>
  genome.layers.map(({ ranks, width }) => `${ranks.qkv}.${width}`).join('/');
/** Active FFN and LoRA parameters. */
function activeParameters(genome: Genome): number {
  const shape = { hidden: 256, qWidth: 256, kvWidth: 128, vocab: 0 };
  const { adapterParameters } = costOf(genome, shape);
  return adapterParameters + genome.layers.reduce((sum, { width }) => sum + 3 * shape.hidden * width, 0);
}

function tableSpace() {
  return bindSearchSpace(
    {
      version: 1,
      name: 'pairs',
      rankMax: 32,
      alpha: 64,
      ranks: { qkv: [4, 16, 32], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
      widthPercents: [100, 75, 50],
      forms: ['unmerged'],
    },
    { layerCount: 4, ffnWidth: 768 },
  );
}

t.test('anchored search on the accuracy table', { skip: missingReference(...TABLE) }, async (t) => {
  const table = readTable(findReference(...TABLE) as string);
  const space = tableSpace();
  const all = [...table.values()];
  const corner = [0, 1].map((axis) => Math.max(...all.map((vector) => vector[axis] as number)) * (1 + 1e-9));
  const whole = hypervolume(all, corner);
  /** Median share of the true front's hypervolume after 25, 50, 100 and 200 evaluations, %. */
  const shares = (name: StrategyName): number[] => {
    const runs = Array.from({ length: SEEDS }, (_, seed) => {
      const strategy = createStrategy(name, space, seed);
      const seen: (readonly number[])[] = [];
      while (seen.length < (BUDGETS.at(-1) as number)) {
        const { genome } = strategy.ask() as { genome: Genome };
        const vector = table.get(keyOf(genome)) as readonly number[];
        strategy.tell(genome, { kind: 'measured', vector });
        seen.push(vector);
      }
      return BUDGETS.map((budget) => (100 * hypervolume(seen.slice(0, budget), corner)) / whole);
    });
    return BUDGETS.map((_, place) => median(runs.map((run) => run[place] as number)));
  };
  // Twenty seeds give medians of about 92.5, 95, 97.7 and 99; the bounds leave room for seven.
  for (const [name, bounds] of [
    ['nsga2', [90, 93, 96, 97.5]],
    ['heuristic', [93, 95, 97, 98.5]],
    ['random', [88, 90, 92, 93]],
  ] as const) {
    const found = shares(name);
    for (const [place, bound] of bounds.entries())
      t.ok(
        (found[place] as number) >= bound,
        `${name} at ${BUDGETS[place]}: ${found[place]?.toFixed(1)} % of at least ${bound}`,
      );
  }
});

t.test('hill climbing on the accuracy table', { skip: missingReference(...TABLE) }, async (t) => {
  const table = readTable(findReference(...TABLE) as string);
  const space = tableSpace();
  /** Fewest errors of the first `budget` candidates that are not baselines; median of the seeds. */
  const errors = (name: StrategyName, budget: number): number =>
    median(
      Array.from({ length: SEEDS }, (_, seed) => {
        const strategy = createStrategy(name, space, seed);
        let best = 1;
        for (let trial = 0; trial < budget + 3; trial++) {
          const { genome, label } = strategy.ask() as { genome: Genome; label: string | null };
          const vector = table.get(keyOf(genome)) as readonly [number, number];
          strategy.tell(genome, { kind: 'measured', vector });
          if (label === null) best = Math.min(best, vector[0]);
        }
        return best;
      }),
    );
  for (const budget of [25, 50]) {
    const climbed = errors('hillClimbing', budget);
    const drawn = errors('random', budget);
    t.ok(
      climbed < drawn,
      `${budget} candidates: errors ${climbed.toFixed(4)}, by chance ${drawn.toFixed(4)}`,
    );
  }
});
