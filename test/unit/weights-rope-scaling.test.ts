import { parseRopeScaling, ropeFrequencies, ropeTables } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const near = (found: ArrayLike<number>, wanted: readonly number[]): boolean =>
  found.length === wanted.length &&
  wanted.every((value, i) => Math.abs((found[i] as number) / value - 1) < 1e-6);

t.test('every default is filled in, and what was filled in reads as itself', async (t) => {
  t.equal(parseRopeScaling({}, 64), undefined);
  t.equal(parseRopeScaling({ rope_type: 'default', rope_theta: 1e4 }, 64), undefined);
  const linear = parseRopeScaling({ type: 'linear', factor: 2 }, 64);
  t.strictSame(linear, { rope_type: 'linear', factor: 2 });
  const llama3 = parseRopeScaling(
    { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    64,
  );
  t.match(llama3, { original_max_position_embeddings: 64 });
  const yarn = parseRopeScaling({ rope_type: 'yarn', original_max_position_embeddings: 16 }, 64);
  t.strictSame(yarn, {
    rope_type: 'yarn',
    factor: 4,
    original_max_position_embeddings: 16,
    attention_factor: 0.1 * Math.log(4) + 1,
    beta_fast: 32,
    beta_slow: 1,
    truncate: true,
  });
  for (const scaling of [linear, llama3, yarn]) t.strictSame(parseRopeScaling({ ...scaling }, 9), scaling);
  // (0.1 · 0.5 · ln 4 + 1) / (0.1 · 2 · ln 4 + 1)
  t.match(parseRopeScaling({ rope_type: 'yarn', factor: 4, mscale: 0.5, mscale_all_dim: 2 }, 64), {
    attention_factor: (0.05 * Math.log(4) + 1) / (0.2 * Math.log(4) + 1),
  });
});

t.test('scalings that depend on the text, are unknown or impossible', async (t) => {
  for (const type of ['dynamic', 'longrope', 'proportional', 'factors', 'su', 7])
    t.throws(
      () => parseRopeScaling({ rope_type: type, factor: 2, factors: [1] }, 64),
      coded('UNSUPPORTED_ARCHITECTURE', String(type), 'default, linear, llama3 or yarn'),
    );
  const bad: readonly [Record<string, unknown>, string][] = [
    [{ rope_type: 'linear' }, 'factor = missing'],
    [{ rope_type: 'linear', factor: 0.99 }, 'factor = 0.99'],
    [{ rope_type: 'linear', factor: '2' }, 'factor = "2"'],
    [{ rope_type: 'llama3', factor: 2, low_freq_factor: 4, high_freq_factor: 4 }, 'high_freq_factor = 4'],
    [{ rope_type: 'llama3', factor: 2, high_freq_factor: 4 }, 'low_freq_factor = missing'],
    [{ rope_type: 'yarn', factor: 2, beta_fast: -1 }, 'beta_fast = -1'],
    [{ rope_type: 'yarn', factor: Number.NaN }, 'factor = '],
  ];
  for (const [record, text] of bad)
    t.throws(() => parseRopeScaling(record, 64), coded('MODEL_CONFIG', text), text);
});

t.test('head 8, theta 10^4: frequencies 1, 0.1, 0.01, 0.001, scaled by hand', async (t) => {
  const of = (record: Record<string, unknown> | undefined) =>
    ropeFrequencies(8, 1e4, record && parseRopeScaling(record, 2000)).frequencies;
  t.ok(near(of(undefined), [1, 0.1, 0.01, 0.001]));
  t.ok(near(of({ rope_type: 'linear', factor: 4 }), [0.25, 0.025, 0.0025, 0.00025]));
  // Waves of 6.28, 62.8, 628 and 6283 tokens; shorter than 2000 / 8 stay, longer than 2000 / 2 are
  // divided by 4, and 628 lies (2000 / 628.3 - 2) / (8 - 2) = 0.19718 of the way between.
  const way = (2000 / (200 * Math.PI) - 2) / 6;
  const mixed = ((1 - way) * 0.01) / 4 + way * 0.01;
  const llama3 = { rope_type: 'llama3', factor: 4, low_freq_factor: 2, high_freq_factor: 8 };
  t.ok(near(of(llama3), [1, 0.1, mixed, 0.00025]), `${of(llama3)}`);
  const { frequencies } = ropeFrequencies(8, 1e4, { rope_type: 'factors', factors: [1, 2, 4, 5] });
  t.ok(near(frequencies, [1, 0.05, 0.0025, 0.0002]));
  for (const factors of [
    [1, 2, 3],
    [1, 2, 3, 0],
    [1, 2, 3, Number.NaN],
  ])
    t.throws(
      () => ropeFrequencies(8, 1e4, { rope_type: 'factors', factors }),
      coded('MODEL_CONFIG', 4, 'heads of 8'),
    );
});

t.test('the attention factor multiplies both tables', async (t) => {
  const shape = { positions: 3, headDim: 4, ropeTheta: 100 };
  const plain = ropeTables(shape);
  const ropeScaling = parseRopeScaling({ rope_type: 'yarn', factor: 1, attention_factor: 1.5 }, 3);
  const scaled = ropeTables({ ...shape, ropeScaling: { ...ropeScaling } });
  for (const table of ['cos', 'sin'] as const)
    scaled[table].forEach((value, i) => {
      t.ok(Math.abs(value - 1.5 * (plain[table][i] as number)) < 1e-6);
    });
});
