import { createHostLease, type HostLease } from '@fleetlora/coordinator/host';
import { type ToTrainingChild, takeTrainingTurns } from '@fleetlora/coordinator/training';
import t from 'tap';

const start = { kind: 'start' } as ToTrainingChild;
/** The fleet's look with a job waiting; hands it out when granted. */
const measure = (lease: HostLease): Promise<void> =>
  lease.measuring.look(async (granted) => ({ running: granted, wanted: !granted }));
const rest = (lease: HostLease): Promise<void> =>
  lease.measuring.look(async () => ({ running: false, wanted: false }));

function openTurns() {
  const lease = createHostLease({ bootId: 'host' });
  const said: string[] = [];
  let waits = false;
  const open = () =>
    takeTrainingTurns(
      lease,
      ({ kind }) => void said.push(kind),
      start,
      (isSo) => {
        waits = isSo;
      },
    );
  return { lease, said, open, waits: () => waits };
}

t.test('a free machine: it starts at once and is never paused', async (t) => {
  const { lease, said, open, waits } = openTurns();
  const turns = open();
  t.same(said, ['start']);
  t.notOk(waits());
  turns.end();
  t.same(lease.measuring.workers(), []);
});

t.test('the machine measures: it starts when that is over', async (t) => {
  const { lease, said, open, waits } = openTurns();
  await measure(lease);
  open();
  t.same(said, []);
  t.ok(waits());
  await rest(lease);
  t.same(said, ['start']);
  t.notOk(waits());
});

t.test('asked, it pauses; paused, it leaves the machine and goes on after the measurement', async (t) => {
  const { lease, said, open, waits } = openTurns();
  const turns = open();
  await measure(lease);
  t.same(said.splice(0), ['start', 'pause']);
  t.equal(lease.measuring.state, 'waiting', 'until it has paused');
  turns.heard({ kind: 'paused' });
  t.equal(lease.measuring.state, 'granted');
  t.ok(waits());
  await measure(lease);
  t.equal(lease.measuring.state, 'running');
  t.same(said, []);
  await rest(lease);
  t.same(said.splice(0), ['goOn']);
  t.notOk(waits());
  await measure(lease);
  t.same(said, ['pause'], 'every turn anew');
});

t.test('a pause that nobody needs any more ends at once', async (t) => {
  const { lease, said, open } = openTurns();
  const turns = open();
  await measure(lease);
  await rest(lease);
  turns.heard({ kind: 'paused' });
  t.same(said, ['start', 'pause', 'goOn']);
});

t.test('waiting for space on the disk it holds no turn, and takes one by pausing', async (t) => {
  const { lease, said, open } = openTurns();
  const turns = open();
  turns.heard({ kind: 'waiting', reason: 'no space' });
  t.same(lease.measuring.workers(), []);
  await measure(lease);
  t.equal(lease.measuring.state, 'running');
  turns.heard({ kind: 'goesOn' });
  turns.heard({ kind: 'paused' });
  t.same(said, ['start']);
  await rest(lease);
  t.same(said, ['start', 'goOn']);
});

for (const moment of ['at work', 'before its first turn', 'in a pause'] as const)
  t.test(`a process that is gone ${moment} leaves the machine and is told nothing more`, async (t) => {
    const { lease, said, open } = openTurns();
    if (moment === 'before its first turn') await measure(lease);
    const turns = open();
    if (moment === 'in a pause') {
      await measure(lease);
      turns.heard({ kind: 'paused' });
      await measure(lease);
    }
    const before = [...said];
    turns.end();
    turns.end();
    turns.heard({ kind: 'paused' });
    await rest(lease);
    t.same(said, before);
    t.same(lease.measuring.workers(), []);
    await measure(lease);
    t.equal(lease.measuring.state, 'running');
  });
