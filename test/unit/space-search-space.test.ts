import { createRandom } from '@fleetlora/shared/random';
import {
  anchorGenome,
  bindSearchSpace,
  encodeGenome,
  type Genome,
  parseSearchSpace,
  presets,
  type SearchSpace,
  type SearchSpaceFile,
  sampleGenome,
  uniformGenome,
} from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';

const model = { layerCount: 8, ffnWidth: 768, kvHeads: 4 };
const file = (change: Partial<SearchSpaceFile> = {}): SearchSpaceFile => ({
  version: 1,
  name: 'small',
  rankMax: 32,
  alpha: 64,
  ranks: { qkv: [32, 8], o: [0], gateUp: [32, 16, 4], down: 'gateUp' },
  widthPercents: [100, 50],
  forms: ['unmerged', 'merged'],
  ...change,
});
const preset = (name: string): SearchSpace => bindSearchSpace(parseSearchSpace(presets[name]), model);
const withLayer = (
  genome: Genome,
  layer: number,
  change: (genes: Genome['layers'][number]) => Genome['layers'][number],
): Genome => ({
  ...genome,
  layers: genome.layers.map((genes, index) => (index === layer ? change(genes) : genes)),
});

for (const [name, genes, size, widths] of [
  // 2 ranks · 2 ranks · 5 widths a layer: 20^8, times 2 forms.
  ['lonas', 3 * 8 + 1, 51_200_000_000, [384, 480, 576, 672, 768]],
  // 3 · 3 · 3 ranks a layer: 27^8 = 282,429,536,481, times 2 forms. The one width is no gene.
  ['shears', 3 * 8 + 1, 564_859_072_962, null],
  // 3 ranks · 3 widths a layer: 9^8 = 43,046,721, times 2 forms.
  ['tied', 2 * 8 + 1, 86_093_442, [384, 576, 768]],
] as const) {
  t.test(`preset ${name} on 8 layers of 768 channels: ${genes} genes, ${size} genomes`, async (t) => {
    const space = preset(name);
    t.equal(space.genes.length, genes);
    t.equal(space.size, size);
    t.equal(
      space.size,
      space.genes.reduce((product, gene) => product * gene.choices.length, 1),
    );
    t.same(space.genes.find((gene) => gene.name === 'layer7.width')?.choices ?? null, widths);
    t.same(space.genes.at(-1), {
      ...space.genes.at(-1),
      name: 'form',
      order: 'categorical',
      choices: ['unmerged', 'merged'],
    });
    t.ok(space.genes.slice(0, -1).every(({ order }) => order === 'ordinal'));
  });
}

t.test(
  'sqft and nls: the ranks of shears and one rank a layer, on a 4-bit base, unmerged alone',
  async (t) => {
    t.match(parseSearchSpace(presets.sqft), {
      ranks: presets.shears?.ranks,
      precisions: ['q4'],
      forms: ['unmerged'],
    });
    t.equal(preset('sqft').size, 27 ** 8);
    t.equal(preset('nls').size, 3 ** 8);
    t.equal(encodeGenome(anchorGenome(preset('sqft'), 'middle')).slice(0, 24), 'g2:u:q4:24.0.24.24.768/2');
    t.equal(encodeGenome(anchorGenome(preset('nls'), 'min')).slice(0, 23), 'g2:u:q4:16.16.16.16.768');
  },
);

t.test('full: every axis of a model of 8 layers, 768 channels and 4 key/value heads', async (t) => {
  const space = preset('full');
  // 4 ranks of 4 groups, 5 widths, 2 numbers of heads: 2,560 choices a layer, and its absence in three;
  // merged, or unmerged in three precisions.
  const size = 2560 ** 5 * 2561 ** 3 * 4;
  t.ok(Math.abs(space.size / size - 1) < 1e-12, `${space.size}`);
  t.same(
    ['kept', 'width', 'kvHeads', 'o.rank'].map((axis) =>
      space.genes.filter(({ name }) => name.endsWith(`.${axis}`)).map(({ choices }) => choices.length),
    ),
    [[2, 2, 2], Array(8).fill(5), Array(8).fill(2), Array(8).fill(4)],
  );
  const texts = (['max', 'min'] as const).map((anchor) => encodeGenome(anchorGenome(space, anchor)));
  t.match(texts[0], /^g1:u:(32\.32\.32\.32\.768\/?){8}$/);
  const thin = '4.4.4.4.384.2';
  t.equal(texts[1], `g2:u:q4:${[thin, '-', thin, '-', thin, '-', thin, thin].join('/')}`);
});

t.test('toGenome and toIndices are inverse for 200 random genomes of every preset', async (t) => {
  for (const name of Object.keys(presets)) {
    const space = preset(name);
    const random = createRandom(1);
    const seen = new Set<string>();
    const drawn = new Set<string>();
    let broken = 0;
    for (let count = 0; count < 200; count++) {
      const indices = space.genes.map((gene) => random.below(gene.choices.length));
      const genome = space.toGenome(indices);
      const again = space.toIndices(genome);
      // Of every axis, some genes say nothing: those of a layer left out, and the form on other bases than fp32.
      if (name !== 'full' && again.join() !== indices.join()) broken++;
      if (encodeGenome(space.toGenome(again)) !== encodeGenome(genome)) broken++;
      seen.add(encodeGenome(genome));
      drawn.add(again.join());
    }
    t.equal(broken, 0, name);
    t.equal(seen.size, drawn.size, `${name}: different indices give different genomes`);
  }
});

t.test('every genome of a space of 2·3·2 choices in one layer and 2 forms, once', async (t) => {
  const space = bindSearchSpace(file(), { layerCount: 1, ffnWidth: 8 });
  t.equal(space.size, 24);
  const all = new Set<string>();
  for (let number = 0; number < 24; number++) {
    let rest = number;
    all.add(
      encodeGenome(
        space.toGenome(
          space.genes.map(({ choices }) => {
            const index = rest % choices.length;
            rest = Math.floor(rest / choices.length);
            return index;
          }),
        ),
      ),
    );
  }
  t.equal(all.size, 24);
  const random = createRandom(1);
  const sampled = new Set(Array.from({ length: 500 }, () => encodeGenome(sampleGenome(space, random))));
  t.same(sampled, all, 'sampling reaches each');
});

t.test('tied groups follow their leader; fixed groups keep their only rank', async (t) => {
  const space = bindSearchSpace(file(), model);
  const random = createRandom(2);
  const layers = Array.from({ length: 50 }, () => sampleGenome(space, random).layers).flat();
  t.ok(layers.every(({ ranks }) => ranks.down === ranks.gateUp && ranks.o === 0));
  const apart = withLayer(anchorGenome(space, 'max'), 3, (genes) => ({
    ...genes,
    ranks: { ...genes.ranks, down: 4 },
  }));
  t.throws(() => space.toIndices(apart), coded('GENOME_OUTSIDE_SPACE', 'layer3.down.rank is 4', 'allows 32'));
});

t.test('`layers` 1 and 6: only they vary, the others keep the largest choice', async (t) => {
  const space = bindSearchSpace(file({ layers: [6, 1] }), model);
  t.equal(space.size, 12 ** 2 * 2);
  const min = anchorGenome(space, 'min');
  t.equal(
    encodeGenome(min),
    `g1:u:${[0, 1, 2, 3, 4, 5, 6, 7].map((layer) => ([1, 6].includes(layer) ? '8.0.4.4.384' : '32.0.32.32.768')).join('/')}`,
  );
  t.same(space.toGenome(space.toIndices(min)), min);
  const outside = withLayer(min, 0, (genes) => ({ ...genes, width: 384 }));
  t.throws(
    () => space.toIndices(outside),
    coded('GENOME_OUTSIDE_SPACE', 'layer0.width is 384', 'allows 768'),
  );
  t.equal(bindSearchSpace(file({ layers: [] }), model).size, 2, 'no elastic layer leaves the forms');
  bindSearchSpace(file({ layers: [7] }), model);
  t.throws(
    () => bindSearchSpace(file({ layers: [7, 8] }), model),
    coded('SPACE_INVALID', 'layer 8', '0 to 7'),
  );
});

t.test('a genome outside the space: layer, value and choices are named', async (t) => {
  const space = preset('tied');
  const genome = anchorGenome(space, 'max');
  const wrong = (change: (genes: Genome['layers'][number]) => Genome['layers'][number]) => () =>
    space.toIndices(withLayer(genome, 5, change));
  t.throws(
    wrong((genes) => ({ ...genes, width: 700 })),
    coded('GENOME_OUTSIDE_SPACE', 'layer5.width is 700', '384, 576, 768'),
  );
  t.throws(
    wrong((genes) => ({ ...genes, ranks: { qkv: 5, o: 5, gateUp: 5, down: 5 } })),
    coded('GENOME_OUTSIDE_SPACE', 'layer5.qkv.rank is 5', '4, 16, 32'),
  );
  t.throws(() => space.toIndices(uniformGenome(7, 32, 768)), coded('GENOME_OUTSIDE_SPACE', '7 layers', 8));
  t.throws(() => space.toIndices(uniformGenome(9, 32, 768)), coded('GENOME_OUTSIDE_SPACE', '9 layers', 8));
  const unmerged = bindSearchSpace(file({ forms: ['unmerged'] }), model);
  t.throws(
    () => unmerged.toIndices(anchorGenome(unmerged, 'max', 'merged')),
    coded('GENOME_OUTSIDE_SPACE', 'form is merged', 'unmerged'),
  );
});

t.test(
  'anchors: the largest, the smallest, and index (n - 1) / 2 from the largest, rounded down',
  async (t) => {
    const ranks = { qkv: [8, 4], o: [8, 4, 2], gateUp: [16, 8, 4, 2], down: [32, 16, 8, 4, 2] };
    const space = bindSearchSpace(file({ ranks }), { layerCount: 1, ffnWidth: 100 });
    t.equal(encodeGenome(anchorGenome(space, 'max')), 'g1:u:8.8.16.32.100');
    t.equal(encodeGenome(anchorGenome(space, 'min')), 'g1:u:4.2.2.2.50');
    // Of 2 the first, of 3 the second, of 4 the second, of 5 the third.
    t.equal(encodeGenome(anchorGenome(space, 'middle')), 'g1:u:8.4.8.8.100');
    t.equal(anchorGenome(space, 'middle', 'merged').form, 'merged');
    t.equal(
      anchorGenome(bindSearchSpace(file({ forms: ['merged'] }), model), 'max').form,
      'merged',
      'the only form',
    );
    t.equal(encodeGenome(anchorGenome(preset('tied'), 'middle')), encodeGenome(uniformGenome(8, 16, 576)));
  },
);

t.test('order and repetition in the file do not matter', async (t) => {
  const ranks = { qkv: [8, 32, 8], o: [0, 0], gateUp: [4, 32, 16], down: 'gateUp' as const };
  const shuffled = bindSearchSpace(
    file({ ranks, widthPercents: [50, 100, 50], forms: ['merged', 'unmerged'] }),
    model,
  );
  t.same(shuffled.genes, bindSearchSpace(file(), model).genes);
});

t.test('a percent must give whole channels: 37.5 % of 768 is 288, of 100 it is 37.5', async (t) => {
  const widths = file({ widthPercents: [100, 37.5] });
  const space = bindSearchSpace(widths, model);
  t.equal(anchorGenome(space, 'min').layers[0]?.width, 288);
  t.throws(
    () => bindSearchSpace(widths, { layerCount: 8, ffnWidth: 100 }),
    coded('SPACE_INVALID', '37.5 %', 100, 'is 37.5'),
  );
  t.throws(() => bindSearchSpace(file({ widthPercents: [0.01] }), model), coded('SPACE_INVALID', '0.01 %'));
});

t.test('a space file is checked: place and reason are named', async (t) => {
  t.same(parseSearchSpace(file()), file());
  const wrong = (change: Record<string, unknown>, ...words: (string | number)[]): void => {
    t.throws(
      () => parseSearchSpace({ ...file(), ...change }),
      coded('SPACE_INVALID', ...words),
      words.join(', '),
    );
  };
  for (const value of [null, 7, 'lonas', []]) t.throws(() => parseSearchSpace(value), coded('SPACE_INVALID'));
  wrong({ version: 2 }, '/version must be 1');
  wrong({ name: '' }, '/name');
  wrong({ rankMax: 0 }, '/rankMax');
  wrong({ alpha: 0 }, '/alpha');
  wrong({ widthPercents: [] }, '/widthPercents');
  wrong({ widthPercents: [0] }, '/widthPercents/0');
  wrong({ widthPercents: [100.5] }, '/widthPercents/0');
  wrong({ forms: [] }, '/forms');
  wrong({ forms: ['fused'] }, '/forms/0');
  wrong({ depth: [8] }, '/depth is not a known field');
  const ranks = (change: Record<string, unknown>) => ({ ranks: { ...file().ranks, ...change } });
  wrong(ranks({ qkv: [33] }), 'ranks.qkv offers 33', 'rankMax 32');
  parseSearchSpace({ ...file(), ...ranks({ qkv: [32] }) });
  wrong(ranks({ qkv: [-1] }), '/ranks/qkv');
  wrong(ranks({ qkv: [1.5] }), '/ranks/qkv');
  wrong(ranks({ qkv: [] }), '/ranks/qkv');
  wrong(ranks({ o: 'down' }), 'ranks.o follows "down"', 'no choices of its own');
  wrong(ranks({ o: 'o' }), 'ranks.o follows "o"');
  wrong(ranks({ o: 'mlp' }), '/ranks/o');
});

t.test('full on 128 layers: more genomes than a number can say', async (t) => {
  const space = bindSearchSpace(parseSearchSpace(presets.full), { ...model, layerCount: 128 });
  t.equal(space.size, Number.MAX_VALUE);
  t.match(space.toGenome(space.toIndices(anchorGenome(space, 'min'))), anchorGenome(space, 'min'));
});
