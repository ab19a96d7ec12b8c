import { createHostTurns } from '@fleetlora/coordinator/campaign';
import t from 'tap';

const on = (bootId: string, id = 'a') => ({ id, bootId });

t.test('one job of a search a machine at ahead 1, unknown machines are not shared', async (t) => {
  const turns = createHostTurns('host');
  turns.startMeasuring(on('far'), 'search', 'job 1');
  t.notOk(turns.mayMeasure(on('far'), 'search', 1));
  t.notOk(turns.mayMeasure(on('far', 'b'), 'search', 1), 'another device of the machine');
  t.ok(turns.mayMeasure(on('far'), 'other search', 1), 'its own queue');
  t.ok(turns.mayMeasure(on('elsewhere'), 'search', 1));
  turns.startMeasuring(on(''), 'search', 'job 2');
  t.notOk(turns.mayMeasure(on(''), 'search', 1));
  t.ok(turns.mayMeasure(on('', 'b'), 'search', 1), 'two devices without a boot id');
  turns.endMeasuring('job 1');
  t.ok(turns.mayMeasure(on('far'), 'search', 1));
  turns.endMeasuring('job 1');
});

t.test('ahead 3: a machine takes three jobs of a search, whichever of its devices gets them', async (t) => {
  const turns = createHostTurns('host');
  for (const [id, job] of [
    ['a', 'job 1'],
    ['b', 'job 2'],
  ] as const)
    turns.startMeasuring(on('far', id), 'search', job);
  t.ok(turns.mayMeasure(on('far'), 'search', 3));
  turns.startMeasuring(on('far'), 'search', 'job 3');
  t.notOk(turns.mayMeasure(on('far'), 'search', 3));
  turns.endMeasuring('job 2');
  t.ok(turns.mayMeasure(on('far'), 'search', 3));
});

t.test('on the coordinator itself measuring and scoring exclude each other', async (t) => {
  const turns = createHostTurns('host');
  turns.startMeasuring(on('far'), 'search', 'job 1');
  t.ok(turns.mayScore(), 'another machine does not matter');
  turns.startMeasuring(on('host'), 'search', 'job 2');
  t.notOk(turns.mayScore());
  turns.startMeasuring(on('host'), 'search', 'job 3');
  turns.endMeasuring('job 2');
  t.notOk(turns.mayScore(), 'a job still waits there');
  turns.endMeasuring('job 3');
  t.ok(turns.mayScore());
  turns.startScoring();
  t.notOk(turns.mayMeasure(on('host'), 'search', 2));
  t.ok(turns.mayMeasure(on('elsewhere'), 'search', 1));
  turns.startScoring();
  turns.endScoring();
  t.notOk(turns.mayMeasure(on('host'), 'search', 2), 'one of two scores still runs');
  turns.endScoring();
  t.ok(turns.mayMeasure(on('host'), 'search', 2));
});

t.test('who did not go last goes first', async (t) => {
  const turns = createHostTurns('host');
  turns.startScoring();
  turns.endScoring();
  t.equal(turns.turn(), 'measure');
  turns.startMeasuring(on('far'), 'search', 'job 1');
  t.equal(turns.turn(), 'measure', 'another machine had its turn');
  turns.startMeasuring(on('host'), 'search', 'job 2');
  t.equal(turns.turn(), 'score');
});

t.test('a coordinator without a boot id takes no turns', async (t) => {
  const turns = createHostTurns('');
  turns.startMeasuring(on(''), 'search', 'job 1');
  t.ok(turns.mayScore());
  turns.startScoring();
  t.ok(turns.mayMeasure(on('', 'b'), 'search', 1));
});
