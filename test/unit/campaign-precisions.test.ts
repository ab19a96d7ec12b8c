import type { JobEnd } from '@fleetlora/coordinator/campaign';
import { baseDigestFor, genomesOf, type SearchStart } from '@fleetlora/shared/protocol';
import { decodeGenome, type Genome, type SearchSpaceFile } from '@fleetlora/shared/space';
import t from 'tap';
import { adapter, base, digestOf, measurement, searchStart, World } from '../lib/campaign-parts.js';
import { coded } from '../lib/coded.js';

const files = {
  ...base.files,
  q8: { digest: digestOf('8'), bytes: 1 },
  q4: { digest: digestOf('4'), bytes: 1 },
};
const fileOf = { fp32: base.digest, q8: files.q8.digest, q4: files.q4.digest };
const precisionOf = (genome: string) => decodeGenome(genome).precision ?? 'fp32';

/** Three precisions, half or all heads, one layer of eight that may be left out. */
const space: SearchSpaceFile = {
  ...adapter.space,
  widthPercents: [100],
  precisions: ['fp32', 'q8', 'q4'],
  kvHeads: [2, 4],
  skippable: [1],
};
const start = (change: Partial<SearchStart> = {}) =>
  searchStart({
    space,
    strategy: 'random',
    trials: 24,
    finalRows: 100,
    finalPoints: 4,
    require: [],
    ...change,
  });

/** A device on which smaller numbers are faster. */
const measure = (genome: Genome): JobEnd => {
  const ms = { fp32: 4, q8: 2, q4: 1 }[genome.precision ?? 'fp32'];
  return { outcome: 'measured', measurements: [measurement(ms, ms, { ...genome, layers: [] })] };
};
function openWorld(change: Partial<typeof base> = { files }): World {
  const world = new World([{ id: 'dev_0000000001', deviceClass: 'board', measure }]);
  world.base = { ...base, ...change };
  world.answer = (genome) => ({ fp32: 900, q8: 890, q4: 800 })[genome.precision ?? 'fp32'];
  return world;
}

t.test('each candidate is measured and scored on the file of its precision, its sentinel too', async (t) => {
  const world = openWorld();
  const { campaign } = world.open();
  await campaign.start(start({ sentinelEvery: 8 }));
  await world.settled();
  t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 24 });
  const seen = new Set<string>();
  for (const { kind, body } of world.jobs) {
    for (const genome of genomesOf(body)) {
      seen.add(precisionOf(genome));
      t.equal(body.baseDigest, fileOf[precisionOf(genome)], genome);
    }
    // The smallest candidate is in q4.
    const isSame = kind === 'sentinel' || body.baseDigest === fileOf.q4;
    t.equal(body.sentinelBaseDigest, isSame ? undefined : fileOf.q4, `${kind} ${body.genome}`);
  }
  t.same([...seen].sort(), ['fp32', 'q4', 'q8']);
  for (const { genome, baseDigest } of world.scoredOn)
    t.equal(baseDigest, fileOf[precisionOf(genome)], genome);
  t.ok(
    world.scored.some((text) => text.startsWith('g2:u:q4:') && text.endsWith('package')),
    'also at the end',
  );
  const { points } = await campaign.front('search');
  t.same([...new Set(points.map(({ genome }) => precisionOf(genome)))].sort(), ['fp32', 'q4', 'q8']);
});

t.test('a precision without a file: the search is refused with the command that makes it', async (t) => {
  const { q8: _, ...twoFiles } = files;
  const { campaign } = openWorld({ name: 'tiny llama', files: twoFiles }).open();
  const command = 'fleetlora base quantise "tiny llama" --precision q8';
  await t.rejects(campaign.start(start()), coded('SPACE_INVALID', 'q8', 'fp32, q4', command));
  await campaign.start(start({ space: { ...space, precisions: ['fp32', 'q4'] } }));
  const candidate = `g2:u:q8:${Array(8).fill('4.4.4.4.768').join('/')}`;
  await t.rejects(
    campaign.start(start({ name: 'one', space: { ...space, candidate } })),
    coded('SPACE_INVALID', 'q8', command),
  );
  t.equal(baseDigestFor({ name: 'x', files }, candidate), fileOf.q8);
  t.throws(
    () => baseDigestFor({ name: 'x', files: twoFiles }, candidate),
    coded('NOT_FOUND', 'q8', 'fleetlora base quantise x --precision q8'),
  );
});

t.test('a base whose heads are not known has no space that chooses among them', async (t) => {
  const { campaign } = openWorld({ files, kvHeads: null }).open();
  await t.rejects(campaign.start(start()), coded('SPACE_INVALID', 'kvHeads offers 4', 'no known number'));
  const { kvHeads: _, ...without } = space;
  await campaign.start(start({ space: without }));
});
