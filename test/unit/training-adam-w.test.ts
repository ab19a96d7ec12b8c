import { clipGradient, cosineLearningRate, createAdamW, stepAdamW } from '@fleetlora/coordinator/training';
import t from 'tap';

const near = (found: number | undefined, wanted: number, tolerance = 1e-6): boolean =>
  Math.abs((found ?? Number.NaN) - wanted) < tolerance;

t.test('AdamW: two steps worked out by hand, with decay 0.1 and rate 0.5', async (t) => {
  const options = { weightDecay: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 0 };
  const state = createAdamW(2);
  const values = Float32Array.of(1, -2);
  // Step 1: both corrected moments are the gradient and its square, so the move is 0.5·sign(g),
  // after decay by 1 - 0.5·0.1 = 0.95: 0.95 - 0.5 and -1.9 + 0.5.
  stepAdamW(state, values, Float32Array.of(4, -0.5), 0.5, options);
  t.equal(state.step, 1);
  t.ok(near(values[0], 0.45) && near(values[1], -1.4), `${values}`);
  t.ok(near(state.first[0], 0.4) && near(state.second[0], 0.16), 'moments 0.1·4 and 0.01·16');
  // Step 2, gradient (-4, 0): m = 0.9·0.4 - 0.4 = -0.04, / (1 - 0.81) = -0.2105263;
  // v = 0.99·0.16 + 0.16 = 0.3184, / (1 - 0.9801) = 16: 0.45·0.95 + 0.5·0.2105263/4 = 0.4538158.
  // Second: m = -0.045 / 0.19 = -0.2368421; v = 0.99·0.0025 / 0.0199 = 0.1243719, root 0.3526640:
  // -1.4·0.95 + 0.5·0.2368421/0.3526640 = -0.9942089.
  stepAdamW(state, values, Float32Array.of(-4, 0), 0.5, options);
  t.equal(state.step, 2);
  t.ok(near(values[0], 0.4538158), `${values[0]}`);
  t.ok(near(values[1], -0.9942089), `${values[1]}`);
});

t.test(
  'AdamW: without decay a zero gradient moves nothing; epsilon bounds the move of a tiny one',
  async (t) => {
    const options = { weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-2 };
    const values = Float32Array.of(3, 3);
    stepAdamW(createAdamW(2), values, Float32Array.of(0, 1e-2), 0.1, options);
    t.equal(values[0], 3);
    // 0.1 · g / (g + epsilon) with g = epsilon.
    t.ok(near(values[1], 2.95));
  },
);

t.test('clipping: length 5 is kept at a limit of 5 and halved at 2.5', async (t) => {
  const inside = Float32Array.of(3, 0, -4);
  t.equal(clipGradient(inside, 5), 5);
  t.same(Array.from(inside), [3, 0, -4]);
  const outside = Float32Array.of(3, 0, -4);
  t.equal(clipGradient(outside, 2.5), 5, 'the length before');
  t.same(Array.from(outside), [1.5, 0, -2]);
  const nothing = new Float32Array(2);
  t.equal(clipGradient(nothing, 1), 0);
  t.same(Array.from(nothing), [0, 0]);
});

t.test('cosine after 4 warm-up steps of 12: 1/5, 4/5, peak, half way, last, beyond', async (t) => {
  const rate = (step: number): number => cosineLearningRate(step, { peak: 10, warmupSteps: 4, steps: 12 });
  t.ok(near(rate(0), 2));
  t.ok(near(rate(3), 8));
  t.ok(near(rate(4), 10), 'the peak is the first step after the warm-up');
  t.ok(near(rate(8), 5), 'half way from 4 to 12');
  t.ok(near(rate(11), 5 * (1 + Math.cos((7 / 8) * Math.PI))));
  t.ok(rate(11) > 0);
  t.ok(near(rate(12), 0) && near(rate(99), 0));
});

t.test('cosine without warm-up starts at the peak; a warm-up longer than the run only rises', async (t) => {
  t.equal(cosineLearningRate(0, { peak: 3, warmupSteps: 0, steps: 1 }), 3);
  const rates = [0, 1, 2].map((step) => cosineLearningRate(step, { peak: 4, warmupSteps: 7, steps: 3 }));
  t.same(rates, [0.5, 1, 1.5]);
});
