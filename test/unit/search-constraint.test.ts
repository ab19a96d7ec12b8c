import { type MetricValues, meets, parseConstraint } from '@fleetlora/coordinator/search';
import t from 'tap';

const values = (change: Partial<MetricValues>): MetricValues => ({
  accuracy: 70,
  loss: 1,
  decodeMs: 2,
  prefillMs: 20,
  peakBytes: 100e6,
  shippedBytes: 300e3,
  ...change,
});
const max = values({ accuracy: 74.3, decodeMs: 4, shippedBytes: 800e3 });

for (const [text, inside, outside] of [
  ['accuracy>=70', { accuracy: 70 }, { accuracy: 69.999 }],
  ['accuracy >= 70 %', { accuracy: 70 }, { accuracy: 69.999 }],
  ['accuracy>=max-1.0', { accuracy: 73.3 }, { accuracy: 73.29 }],
  ['accuracy>=max', { accuracy: 74.3 }, { accuracy: 74.29 }],
  ['loss<=0.5', { loss: 0.5 }, { loss: 0.5001 }],
  ['decodeMs<=3', { decodeMs: 3 }, { decodeMs: 3.001 }],
  ['decodeMs<=max-1.5', { decodeMs: 2.5 }, { decodeMs: 2.501 }],
  ['prefillMs<=.02s', { prefillMs: 20 }, { prefillMs: 20.01 }],
  ['peakBytes<=200MB', { peakBytes: 200e6 }, { peakBytes: 200e6 + 1 }],
  ['peakBytes<=1MiB', { peakBytes: 1048576 }, { peakBytes: 1048577 }],
  ['shippedBytes<=500KB', { shippedBytes: 500e3 }, { shippedBytes: 500001 }],
  ['shippedBytes<=max+10KB', { shippedBytes: 810e3 }, { shippedBytes: 810001 }],
] as const) {
  t.test(`${text}: just inside and just outside`, async (t) => {
    const constraint = parseConstraint(text);
    t.ok(meets(constraint, values(inside), max));
    t.notOk(meets(constraint, values(outside), max));
  });
}

t.test('74.3 - 1.0 meets max-1.0 in spite of rounding', async (t) => {
  const rounded = { accuracy: (100 * 733) / 1000 };
  t.ok(
    meets(parseConstraint('accuracy>=max-1.0'), values(rounded), values({ accuracy: (100 * 743) / 1000 })),
  );
});

t.test('a relative limit without a full network is met by none', async (t) => {
  t.notOk(meets(parseConstraint('decodeMs<=max+100'), values({}), { accuracy: 74 }));
  t.ok(meets(parseConstraint('accuracy>=max-10'), values({}), { accuracy: 74 }));
});

for (const [text, message] of [
  ['speed>=3', /unknown metric "speed", wanted one of accuracy, loss, decodeMs/],
  ['accuracy<=70', /accuracy takes >=, found <=/],
  ['decodeMs>=3', /decodeMs takes <=, found >=/],
  ['accuracy>70', /wanted METRIC>=BOUND/],
  ['accuracy>=', /wanted METRIC>=BOUND/],
  ['accuracy>=min+1', /wanted METRIC>=BOUND/],
  ['accuracy>=1.2.3', /"1.2.3" is not a number/],
  ['accuracy>=max-.', /"." is not a number/],
  ['decodeMs<=3MB', /unit "MB" does not fit decodeMs, wanted ms, s/],
  ['loss<=1%', /unit "%" does not fit loss, wanted none/],
] as const) {
  t.test(`${text} is refused`, async (t) => {
    t.throws(() => parseConstraint(text), { code: 'BAD_REQUEST', message });
  });
}
