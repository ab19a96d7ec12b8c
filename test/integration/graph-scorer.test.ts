import { openScorer, type RowScore, type Scorer, type TokenRow } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { type PlainLlama, readPlainLlama } from '../lib/plain-llama.js';
import { merged, tinyGenomes } from '../lib/tiny-genomes.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

const TOLERANCE = 5e-5;

const open = (model: TinyModel, adapter = true): Promise<Scorer> =>
  openScorer(createNodeRuntime(), {
    folder: model.folder,
    base: model.base,
    adapter: adapter ? model.adapter : null,
    threads: 1,
  });

function scoreByHand(plain: PlainLlama, row: TokenRow, genome: Genome | null): RowScore {
  const targets = plain.targets(row, genome);
  return {
    correct: targets.every(({ best, id }) => best === id),
    nll: targets.reduce((sum, { nll }) => sum + nll, 0),
    targets: targets.length,
  };
}

/** The row with its targets replaced by what the model itself says there, but for `wrongAt`. */
function answeredBy(plain: PlainLlama, row: TokenRow, genome: Genome, wrongAt?: number): TokenRow {
  const ids = Int32Array.from(row.ids);
  for (let at = row.targetStart; at < ids.length; at++) {
    const best = plain.targets({ ids: ids.slice(0, at + 1), targetStart: at }, genome)[0]?.best ?? 0;
    ids[at] = at === wrongAt ? (best + 1) % tinyShape.vocab : best;
  }
  return { ids, targetStart: row.targetStart };
}

for (const [name, genome] of Object.entries(tinyGenomes)) {
  t.test(
    `${name}: nll and correctness of rows of 2 to 20 tokens as worked out from plain logits`,
    async (t) => {
      const model = await createTinyModel(t.testdir());
      const plain = await readPlainLlama(model);
      const rows = randomRows(tinyShape, [9, 3, 20, 12, 2], { seed: 11, targets: 1 });
      rows.push(...randomRows(tinyShape, [8, 8], { seed: 12, targets: 4 }));
      const asked = rows[5] as TokenRow;
      rows.push(...[undefined, 4, 5, 7].map((wrongAt) => answeredBy(plain, asked, genome, wrongAt)));
      const scorer = await open(model);
      const found = await scorer.score(genome, rows);
      t.equal(found.length, rows.length);
      for (const [index, row] of rows.entries()) {
        const wanted = scoreByHand(plain, row, genome);
        const score = found[index] as RowScore;
        t.equal(score.targets, wanted.targets);
        t.equal(score.correct, wanted.correct, `row ${index} is ${wanted.correct ? 'correct' : 'wrong'}`);
        t.ok(
          Math.abs(score.nll - wanted.nll) < TOLERANCE * score.targets,
          `row ${index}: ${score.nll}, by hand ${wanted.nll}`,
        );
      }
      t.same(
        found.slice(7).map(({ correct }) => correct),
        [true, false, false, false],
        'of four targets every one must be the likeliest token: the first, the second and the last',
      );
      t.same(await scorer.score(merged(genome), rows), found, 'the form does not matter');
      await scorer.close();
    },
  );
}

t.test('a row scores the same alone and padded beside longer ones, in any order', async (t) => {
  const model = await createTinyModel(t.testdir());
  const scorer = await open(model);
  const genome = uniformGenome(2, 2, 18);
  const rows = randomRows(tinyShape, [4, 31, 2, 17, 32, 9], { seed: 13, targets: 1 });
  const together = await scorer.score(genome, rows);
  const reversed = (await scorer.score(genome, rows.toReversed())).reverse();
  for (const [index, row] of rows.entries()) {
    const [alone] = await scorer.score(genome, [row]);
    t.ok(
      Math.abs((together[index]?.nll ?? 0) - (alone?.nll ?? 1)) < TOLERANCE,
      `row ${index} of ${row.ids.length} tokens`,
    );
    t.equal(together[index]?.correct, alone?.correct);
  }
  t.same(reversed, together);
  t.same(await scorer.score(genome, []), []);
  await scorer.close();
});

t.test('300 rows of 16 tokens pass in batches of at most 4,096 tokens: 256 and 44', async (t) => {
  const model = await createTinyModel(t.testdir());
  const scorer = await open(model);
  const rows = randomRows(tinyShape, Array(300).fill(16), { seed: 14 });
  const done: number[] = [];
  const genome = uniformGenome(2, 4, 24);
  const scores = await scorer.score(genome, rows, (count) => done.push(count));
  t.same(done, [256, 300]);
  const [last] = await scorer.score(genome, rows.slice(-1));
  t.ok(Math.abs((scores[299]?.nll ?? 0) - (last?.nll ?? 1)) < TOLERANCE);
  await scorer.close();
});

t.test('six shapes in turn, more than are kept open: every score is that of a fresh scorer', async (t) => {
  const model = await createTinyModel(t.testdir());
  const rows = randomRows(tinyShape, [10, 7], { seed: 15 });
  const scorer = await open(model);
  const genomes = [24, 20, 16, 12, 8, 4, 24, 4].map((width, index) =>
    uniformGenome(2, 1 + (index % 4), width),
  );
  for (const genome of genomes) {
    const found = await scorer.score(genome, rows);
    const fresh = await open(model);
    t.same(found, await fresh.score(genome, rows), `width ${genome.layers[0]?.width}`);
    await fresh.close();
  }
  await scorer.close();
});

t.test(
  'scoreModel: the base alone and a super-adapter; a scorer without an adapter ignores ranks',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const plain = await readPlainLlama(model);
    const rows = randomRows(tinyShape, [10, 7], { seed: 16 });
    const genome = uniformGenome(2, 3, 18);
    const scorer = await open(model, false);
    const near = (found: readonly RowScore[], wanted: Genome | null): void => {
      for (const [index, row] of rows.entries())
        t.ok(Math.abs((found[index]?.nll ?? 0) - scoreByHand(plain, row, wanted).nll) < TOLERANCE * 2);
    };
    near(await scorer.scoreModel({ ...model, overlay: null, genome: null }, rows), null);
    near(await scorer.scoreModel({ ...model, overlay: model.adapter, genome }, rows), genome);
    near(await scorer.score(uniformGenome(2, 4, 24), rows), null);
    await scorer.close();
  },
);
