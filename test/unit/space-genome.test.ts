import { createHash } from 'node:crypto';
import {
  decodeGenome,
  digestGenome,
  encodeGenome,
  type Genome,
  shapeOf,
  skippedLayer,
  uniformGenome,
} from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';

const genome: Genome = {
  form: 'merged',
  layers: [
    { ranks: { qkv: 32, o: 0, gateUp: 4, down: 16 }, width: 768 },
    { ranks: { qkv: 0, o: 1, gateUp: 9999, down: 2 }, width: 999_999 },
  ],
};
const text = 'g1:m:32.0.4.16.768/0.1.9999.2.999999';

t.test('canonical text: form, then qkv.o.gateUp.down.width a layer; both ways', async (t) => {
  t.equal(encodeGenome(genome), text);
  t.same(decodeGenome(text), genome);
  t.equal(encodeGenome({ ...genome, form: 'unmerged' }), text.replace(':m:', ':u:'));
  const reordered = {
    layers: genome.layers.map(({ width, ranks: { down, o, gateUp, qkv } }) => ({
      width,
      ranks: { down, gateUp, o, qkv },
    })),
    form: genome.form,
  };
  t.equal(encodeGenome(reordered), text, 'the order of fields does not show');
});

t.test('digest: SHA-256 of the text', async (t) => {
  t.equal(digestGenome(genome), createHash('sha256').update(text).digest('hex'));
  t.not(digestGenome(genome), digestGenome({ ...genome, form: 'unmerged' }));
});

t.test('texts that are not genomes are refused, naming the part', async (t) => {
  for (const wrong of [
    '',
    'g1',
    'g1:u',
    'g2:u:1.1.1.1.1',
    'g1:x:1.1.1.1.1',
    'g1:u:1.1.1.1.1:',
    'G1:u:1.1.1.1.1',
    ' g1:u:1.1.1.1.1',
  ])
    t.throws(() => decodeGenome(wrong), coded('GENOME_MALFORMED', `"${wrong}"`, 'g1:u: or g1:m:'));
  for (const part of [
    '',
    '1.1.1.1',
    '1.1.1.1.1.1',
    '-1.1.1.1.1',
    '1.1.1.1.1e3',
    '1.1.1.1.',
    '99999.1.1.1.1',
    '1.1.1.1.1000000',
    '1.1.1.1.1 ',
    'a.1.1.1.1',
  ])
    t.throws(() => decodeGenome(`g1:u:2.2.2.2.8/${part}`), coded('GENOME_MALFORMED', 'layer 1', `"${part}"`));
  for (const part of ['01.1.1.1.1', '1.1.1.1.08', '00.1.1.1.1'])
    t.throws(() => decodeGenome(`g1:u:${part}`), coded('GENOME_MALFORMED', 'canonical'));
});

t.test('128 layers of the largest numbers are a genome; 129 layers and longer texts are not', async (t) => {
  const layers = (count: number, part = '9.9.9.9.9'): string => `g1:u:${Array(count).fill(part).join('/')}`;
  t.equal(decodeGenome(layers(128)).layers.length, 128);
  t.throws(() => decodeGenome(layers(129)), coded('GENOME_MALFORMED', 129, 128));
  const largest = layers(128, '9999.9999.9999.9999.999999');
  t.equal(encodeGenome(decodeGenome(largest)), largest);
  // 16 + 128·28 characters are read, one more is not even split.
  t.throws(() => decodeGenome('x'.repeat(3600)), coded('GENOME_MALFORMED', 'g1:u:'));
  t.throws(() => decodeGenome('x'.repeat(3601)), coded('GENOME_MALFORMED', 3601, 3600));
});

t.test('g2 says what g1 cannot: precision, key/value heads kept, layers left out', async (t) => {
  const ranks = { qkv: 8, o: 0, gateUp: 4, down: 2 };
  const cut: Genome = {
    form: 'unmerged',
    precision: 'q4',
    layers: [{ ranks, width: 64, kvHeads: 1 }, skippedLayer, { ranks, width: 32 }],
  };
  t.equal(encodeGenome(cut), 'g2:u:q4:8.0.4.2.64.1/-/8.0.4.2.32');
  for (const genome of [
    cut,
    { ...cut, precision: 'q8' as const },
    { form: 'merged' as const, layers: cut.layers },
    { ...cut, layers: [{ ranks, width: 64 }] },
  ])
    t.strictSame(decodeGenome(encodeGenome(genome)), genome, encodeGenome(genome));
  t.equal(shapeOf(cut), 'g2:u:q4:1.0.1.1.64.1/-/1.0.1.1.32');
  t.equal(encodeGenome({ ...cut, precision: 'fp32', layers: [{ ranks, width: 64 }] }), 'g1:u:8.0.4.2.64');
  for (const wrong of ['g2:u:fp32:8.0.4.2.64', 'g2:u:q4:8.0.4.2.64.01', 'g2:u:q4:-/08.0.4.2.64'])
    t.throws(() => decodeGenome(wrong), coded('GENOME_MALFORMED', 'canonical'), wrong);
  for (const wrong of ['g1:u:-', 'g2:u:q4:8.0.4.2.64.1.1', 'g2:u:q4:--', 'g2:u:q4:'])
    t.throws(() => decodeGenome(wrong), coded('GENOME_MALFORMED', 'layer 0'), wrong);
  for (const wrong of ['g2:u:q5:-', 'g2:u:-', 'g3:u:q4:-', 'g2:u:q4:-:'])
    t.throws(() => decodeGenome(wrong), coded('GENOME_MALFORMED', wrong), wrong);
});

t.test('uniformGenome: the same rank or ranks in every layer', async (t) => {
  t.equal(encodeGenome(uniformGenome(2, 8, 64)), 'g1:u:8.8.8.8.64/8.8.8.8.64');
  t.equal(
    encodeGenome(uniformGenome(1, { qkv: 1, o: 2, gateUp: 3, down: 4 }, 5, 'merged')),
    'g1:m:1.2.3.4.5',
  );
});
