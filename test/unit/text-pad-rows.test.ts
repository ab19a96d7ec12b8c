import { padRows, targetCount } from '@fleetlora/shared/text';
import t from 'tap';

const row = (ids: number[], targetStart: number) => ({ ids: Int32Array.from(ids), targetStart });

t.test('two rows of 3 and 2 tokens padded to 4', async (t) => {
  const { ids, positions, targets } = padRows([row([7, 8, 9], 1), row([5, 6], 1)], 4);
  t.same([...ids], [7n, 8n, 9n, 0n, 5n, 6n, 0n, 0n]);
  // Tokens 8 and 9 are predicted from positions 0 and 1, token 6 from position 4.
  t.same(positions, [0, 1, 4]);
  t.same(targets, [8, 9, 6]);
});

t.test('the first token is never a target, whatever targetStart says', async (t) => {
  const first = row([7, 8], 0);
  t.same(padRows([first], 2).targets, [8]);
  t.equal(targetCount(first), 1);
  t.equal(targetCount(row([7, 8, 9], 2)), 1);
  t.equal(targetCount(row([7, 8, 9], 3)), 0, 'nothing is left to predict');
});
