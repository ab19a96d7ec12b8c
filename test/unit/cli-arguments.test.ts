import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  daysOrNone,
  decimal,
  duration,
  integer,
  readSpace,
  sizeOrNone,
  toName,
} from '@fleetlora/coordinator/cli';
import { InvalidArgumentError } from 'commander';
import t from 'tap';
import { coded } from '../lib/coded.js';

t.test('integer(8, 64) takes 8 and 64, refuses 7, 65, 8.0, 1e1, blank and signs', async (t) => {
  const parse = integer(8, 64);
  t.equal(parse('8'), 8);
  t.equal(parse('64'), 64);
  for (const text of ['7', '65', '8.0', '1e1', '', ' 9', '-9', '+9'])
    t.throws(() => parse(text), InvalidArgumentError, `"${text}"`);
});

t.test('decimal(0, 1) takes 0, 1 and 3e-3, refuses -0.1, 1.0001, blank and words', async (t) => {
  const parse = decimal(0, 1);
  t.equal(parse('0'), 0);
  t.equal(parse('1'), 1);
  t.equal(parse('3e-3'), 0.003);
  for (const text of ['-0.1', '1.0001', '', ' ', 'NaN', 'x'])
    t.throws(() => parse(text), InvalidArgumentError, `"${text}"`);
});

t.test('daysOrNone takes 1, 36500 and none, refuses 0, 36501, 1.5, 1d and blank', async (t) => {
  t.strictSame(['1', '36500', 'none'].map(daysOrNone), [1, 36_500, 'none']);
  for (const text of ['0', '36501', '1.5', '1d', '', '-1', 'None'])
    t.throws(() => daysOrNone(text), InvalidArgumentError, `"${text}"`);
});

t.test(
  'sizeOrNone: 0, 7B, 1.5KB, 500MB, 20 gb, 1TB, 2^50 and none; not 2^50 + 1, 5XB, 5M or blank',
  async (t) => {
    t.strictSame(['0', '7B', '1.5KB', '500MB', '20 gb', '1TB', '1125899906842624', 'none'].map(sizeOrNone), [
      0,
      7,
      1500,
      500e6,
      20e9,
      1e12,
      2 ** 50,
      'none',
    ]);
    for (const text of ['1125899906842625', '1126TB', '5XB', '5M', '', '-1', '1e9', '.5GB'])
      t.throws(() => sizeOrNone(text), InvalidArgumentError, `"${text}"`);
  },
);

t.test('duration: 90 and 90s are 90, 30m 1800, 12h 43200, 7d 604800', async (t) => {
  t.strictSame(['90', '90s', '30m', '12h', '7d'].map(duration), [90, 90, 1800, 43_200, 604_800]);
  for (const text of ['0', '0m', '1w', 'm', '', '-1s', '1.5h'])
    t.throws(() => duration(text), InvalidArgumentError, `"${text}"`);
});

t.test('a name is made of what the API accepts', async (t) => {
  t.equal(toName('tiny-llama 7m.v2'), 'tiny-llama 7m.v2');
  t.equal(toName('modèle/7m'), 'mod-le-7m');
  t.equal(toName('..hidden'), 'hidden');
  t.equal(toName('///'), 'unnamed');
  t.equal(toName('x'.repeat(65)).length, 64);
});

t.test('a space is a preset or a file', async (t) => {
  const folder = t.testdir();
  t.equal((await readSpace('lonas')).name, 'lonas');
  await t.rejects(readSpace('lona'), coded('SPACE_INVALID', 'lona', 'lonas', 'shears'));
  await t.rejects(readSpace(join(folder, 'none.json')), coded('NOT_FOUND', 'none.json'));
  await writeFile(join(folder, 'broken.json'), '{');
  await t.rejects(readSpace(join(folder, 'broken.json')), coded('BAD_USAGE', 'broken.json', 'JSON'));
  await writeFile(join(folder, 'other.json'), '{"version": 2}');
  await t.rejects(readSpace(join(folder, 'other.json')), coded('SPACE_INVALID'));
});
