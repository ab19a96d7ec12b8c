import {
  baselinesOf,
  createStrategy,
  type Strategy,
  type StrategyName,
  type Vector,
} from '@fleetlora/coordinator/search';
import { createRandom } from '@fleetlora/shared/random';
import {
  bindSearchSpace,
  costOf,
  encodeGenome,
  type Form,
  type Genome,
  presets,
  type SearchSpace,
  type SearchSpaceFile,
} from '@fleetlora/shared/space';
import t from 'tap';

const names: StrategyName[] = ['nsga2', 'random', 'heuristic'];
const spaceOf = (change: Partial<SearchSpaceFile>, layerCount: number): SearchSpace =>
  bindSearchSpace({ ...(presets.tied as SearchSpaceFile), ...change }, { layerCount, ffnWidth: 768 });
const large = spaceOf({}, 8);
/** 9 choices a layer, 2 forms. */
const small = spaceOf({}, 1);

/** More rank and width answer better and cost more. */
const vectorOf = (genome: Genome): Vector => {
  const cost = costOf(genome, { hidden: 256, qWidth: 256, kvWidth: 128, vocab: 4096 });
  const error = genome.layers.reduce((sum, { ranks, width }) => sum + 4 / ranks.qkv + 384 / width, 0);
  return [error, cost.macs];
};
const measured = (genome: Genome) => ({ kind: 'measured', vector: vectorOf(genome) }) as const;
function proposals(strategy: Strategy, count: number): string[] {
  return Array.from({ length: count }, () => {
    const proposal = strategy.ask();
    if (!proposal) return 'none';
    strategy.tell(proposal.genome, measured(proposal.genome));
    return encodeGenome(proposal.genome);
  });
}

t.test('baselines: max unmerged, max merged, middle, min', async (t) => {
  t.same(
    baselinesOf(spaceOf({}, 1)).map(({ label, genome }) => [label, encodeGenome(genome)]),
    [
      ['max', 'g1:u:32.32.32.32.768'],
      ['maxMerged', 'g1:m:32.32.32.32.768'],
      ['middle', 'g1:u:16.16.16.16.576'],
      ['min', 'g1:u:4.4.4.4.384'],
    ],
  );
});

t.test('baselines of a space with one form, and of one with one choice', async (t) => {
  const labels = (space: SearchSpace) => baselinesOf(space).map(({ label }) => label);
  t.same(labels(spaceOf({ forms: ['unmerged'] }, 1)), ['max', 'middle', 'min']);
  t.same(labels(spaceOf({ forms: ['merged'] }, 1)), ['maxMerged', 'middle', 'min']);
  const single = { ranks: { qkv: [32], o: [32], gateUp: [32], down: [32] }, widthPercents: [100] };
  t.same(labels(spaceOf({ ...single, forms: ['unmerged'] }, 1)), ['max']);
  t.same(labels(spaceOf(single, 1)), ['max', 'maxMerged']);
});

for (const name of names) {
  t.test(`${name}: the baselines come first, labelled`, async (t) => {
    const strategy = createStrategy(name, large, 1);
    const asked = Array.from({ length: 5 }, () => strategy.ask()?.label);
    t.same(asked, ['max', 'maxMerged', 'middle', 'min', null]);
  });

  t.test(`${name}: 300 candidates of a large space are all different`, async (t) => {
    t.equal(new Set(proposals(createStrategy(name, large, 2), 300)).size, 300);
  });

  t.test(`${name}: a space of 18 is proposed completely, then nothing`, async (t) => {
    t.equal(small.size, 18);
    const strategy = createStrategy(name, small, 3);
    const all = proposals(strategy, 18);
    t.equal(new Set(all).size, 18);
    t.notOk(all.includes('none'));
    t.equal(strategy.ask(), null);
  });

  t.test(`${name}: equal seeds give equal proposals, other seeds others`, async (t) => {
    const run = (seed: number) => proposals(createStrategy(name, large, seed), 60);
    t.same(run(4), run(4));
    t.notSame(run(4), run(5));
  });

  t.test(`${name}: a logged sequence of 4 overlapping candidates replays`, async (t) => {
    const script = createRandom(6);
    const log: { kind: 'ask' | 'tell'; genome: Genome }[] = [];
    const open: Genome[] = [];
    const first = createStrategy(name, large, 6);
    const outcome = (genome: Genome) =>
      genome.layers[0]?.width === 384 ? ({ kind: 'infeasible' } as const) : measured(genome);
    for (let event = 0; event < 200; event++) {
      if (open.length === 4 || (open.length > 0 && script.next() < 0.5)) {
        const [genome] = open.splice(script.below(open.length), 1) as [Genome];
        first.tell(genome, outcome(genome));
        log.push({ kind: 'tell', genome });
      } else {
        const genome = first.ask()?.genome as Genome;
        open.push(genome);
        log.push({ kind: 'ask', genome });
      }
    }
    const second = createStrategy(name, large, 6);
    for (const { kind, genome } of log) {
      if (kind === 'tell') second.tell(genome, outcome(genome));
      else t.equal(encodeGenome(second.ask()?.genome as Genome), encodeGenome(genome));
    }
    t.same(second.ask(), first.ask());
  });

  t.test(`${name}: goes on when nothing is feasible`, async (t) => {
    const strategy = createStrategy(name, large, 7);
    for (let trial = 0; trial < 40; trial++)
      strategy.tell(strategy.ask()?.genome as Genome, { kind: 'infeasible' });
    t.ok(strategy.ask());
  });

  t.test(`${name}: telling twice, or of a stranger, is a defect`, async (t) => {
    const strategy = createStrategy(name, large, 8);
    const { genome } = strategy.ask() as { genome: Genome };
    strategy.tell(genome, measured(genome));
    t.throws(() => strategy.tell(genome, measured(genome)), { code: 'BUG', message: /told twice/ });
    const stranger = large.toGenome(large.genes.map(() => 1));
    t.throws(() => strategy.tell(stranger, measured(stranger)), {
      code: 'BUG',
      message: /without being proposed/,
    });
  });
}

t.test('heuristic: uniform choices follow the baselines, then single steps from the front', async (t) => {
  const strategy = createStrategy('heuristic', large, 9);
  const uniform = (text: string): boolean => new Set(text.split(':')[2]?.split('/')).size === 1;
  const all = proposals(strategy, 40);
  // 3 ranks x 3 widths x 2 forms, the baselines among them
  t.ok(all.slice(0, 18).every(uniform));
  t.equal(
    all[4],
    'g1:m:'.concat(Array(8).fill('16.16.16.16.576').join('/')),
    'nearest to the middle: its other form',
  );
  t.notOk(all.slice(18).some(uniform));
});

t.test('nsga2: forms survive: both are proposed after the baselines', async (t) => {
  const form = (text: string): Form => (text.startsWith('g1:m') ? 'merged' : 'unmerged');
  const later = proposals(createStrategy('nsga2', large, 10), 60)
    .slice(8)
    .map(form);
  t.ok(later.includes('merged') && later.includes('unmerged'));
});
