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

const names: StrategyName[] = ['nsga2', 'random', 'heuristic', 'hillClimbing'];
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

/** Quality falls with every step away from `peak`; costs are equal. */
const towards = (peak: readonly number[], space: SearchSpace) => (genome: Genome) => {
  const steps = space
    .toIndices(genome)
    .reduce((sum, index, gene) => sum + Math.abs(index - (peak[gene] as number)), 0);
  return { kind: 'measured', vector: [steps, 1] } as const;
};

t.test('hillClimbing: from the middle straight to a peak, one gene by one step at a time', async (t) => {
  const space = spaceOf({ forms: ['unmerged'] }, 4);
  // The middle is index 1 everywhere: 6 genes of 8 are one step off, 2 stand right.
  const peak = [0, 2, 1, 0, 2, 2, 1, 0];
  const strategy = createStrategy('hillClimbing', space, 11);
  const value = towards(peak, space);
  let asked = 0;
  let indices: number[] = [];
  while (indices.join() !== peak.join()) {
    const { genome } = strategy.ask() as { genome: Genome };
    indices = space.toIndices(genome);
    strategy.tell(genome, value(genome));
    asked++;
    // Max and min are baselines; after them no proposal is further off than a neighbour of the middle.
    if (asked > 3) t.ok(value(genome).vector[0] <= 7, `${indices.join()} after ${asked}`);
    if (asked > 200) break;
  }
  // At most 3 baselines and, from each of 7 points, its 16 neighbours.
  t.ok(asked <= 3 + 7 * 16, `${asked} candidates`);
});

t.test('hillClimbing: equal quality is decided by the costs', async (t) => {
  const space = spaceOf({ forms: ['unmerged'] }, 1);
  const strategy = createStrategy('hillClimbing', space, 12);
  const all = Array.from({ length: space.size }, () => {
    const { genome } = strategy.ask() as { genome: Genome };
    strategy.tell(genome, { kind: 'measured', vector: [0, vectorOf(genome)[1] as number] });
    return encodeGenome(genome).slice(5);
  });
  // From (16, 576) a cheaper neighbour leads to the smallest, a baseline, and to both next to it,
  // before the two corners that are one cheap and one dear choice.
  for (const near of ['4.4.4.4.576', '16.16.16.16.384'])
    for (const corner of ['4.4.4.4.768', '32.32.32.32.384'])
      t.ok(all.indexOf(near) < all.indexOf(corner), `${near} before ${corner} in ${all.join(' ')}`);
});

t.test('hillClimbing: an infeasible middle is no end', async (t) => {
  const space = spaceOf({ forms: ['unmerged'] }, 2);
  const value = towards([0, 0, 0, 0], space);
  const strategy = createStrategy('hillClimbing', space, 13);
  const seen = new Set<string>();
  for (let trial = 0; trial < space.size; trial++) {
    const { genome, label } = strategy.ask() as { genome: Genome; label: string | null };
    strategy.tell(genome, label === 'middle' ? { kind: 'infeasible' } : value(genome));
    seen.add(encodeGenome(genome));
  }
  t.equal(seen.size, 81);
});

/** Layers, heads and precision beside ranks and widths. */
const every = bindSearchSpace(
  {
    ...(presets.tied as SearchSpaceFile),
    kvHeads: 'half',
    skippable: 'alternate',
    precisions: ['fp32', 'q4'],
    forms: ['unmerged'],
  },
  { layerCount: 5, ffnWidth: 768, kvHeads: 4 },
);

t.test('hillClimbing: leaves layers out where that is better', async (t) => {
  // Nothing but depth counts: the middle has all five layers, the best candidates three.
  const depth = (genome: Genome): Vector => [
    genome.layers.filter(({ skipped }) => !skipped).length,
    genome.layers.reduce((sum, { ranks }) => sum + ranks.qkv, 0),
  ];
  const strategy = createStrategy('hillClimbing', every, 14);
  const told: Genome[] = [];
  while (told.length < 3 + 3 * 40) {
    const { genome } = strategy.ask() as { genome: Genome };
    strategy.tell(genome, { kind: 'measured', vector: depth(genome) });
    told.push(genome);
  }
  const last = told.slice(-10).map((genome) => depth(genome)[0] as number);
  t.ok(
    last.filter((layers) => layers === 3).length >= 5,
    `the last candidates are neighbours of a shallow one: ${last}`,
  );
});

t.test('heuristic: ranks go together, and so does all that the base is cut in', async (t) => {
  const strategy = createStrategy('heuristic', every, 15);
  const asked = Array.from({ length: 3 + 6 }, () => {
    const { genome } = strategy.ask() as { genome: Genome };
    strategy.tell(genome, { kind: 'measured', vector: [1, 1] });
    return encodeGenome(genome);
  });
  const first = asked.slice(3);
  const shapes = first.map((text) => text.split(':').at(-1)?.split('/') ?? []);
  for (const layers of shapes) t.equal(new Set(layers.filter((layer) => layer !== '-')).size, 1);
  // Two choices at half are the larger; at 0 the base is as small as can be: shallow, narrow, in 4 bits.
  t.ok(
    first.includes(
      `g2:u:q4:${['16.16.16.16.384.2', '-', '16.16.16.16.384.2', '-', '16.16.16.16.384.2'].join('/')}`,
    ),
  );
});
