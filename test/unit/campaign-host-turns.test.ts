import { createHostTurns } from '@fleetlora/coordinator/campaign';
import t from 'tap';

t.test('one device of a machine measures at a time, unknown machines are not shared', async (t) => {
  const turns = createHostTurns('host');
  turns.startMeasuring('far', 'job 1');
  t.notOk(turns.mayMeasure('far'));
  t.ok(turns.mayMeasure('elsewhere'));
  turns.startMeasuring('', 'job 2');
  t.ok(turns.mayMeasure(''), 'two devices without a boot id');
  turns.endMeasuring('job 1');
  t.ok(turns.mayMeasure('far'));
  turns.endMeasuring('job 1');
});

t.test('on the coordinator itself measuring and scoring exclude each other', async (t) => {
  const turns = createHostTurns('host');
  turns.startMeasuring('far', 'job 1');
  t.ok(turns.mayScore(), 'another machine does not matter');
  turns.startMeasuring('host', 'job 2');
  t.notOk(turns.mayScore());
  turns.endMeasuring('job 2');
  turns.startScoring();
  t.notOk(turns.mayMeasure('host'));
  t.ok(turns.mayMeasure('elsewhere'));
  turns.startScoring();
  turns.endScoring();
  t.notOk(turns.mayMeasure('host'), 'one of two scores still runs');
  turns.endScoring();
  t.ok(turns.mayMeasure('host'));
});

t.test('who did not go last goes first', async (t) => {
  const turns = createHostTurns('host');
  turns.startScoring();
  turns.endScoring();
  t.equal(turns.turn(), 'measure');
  turns.startMeasuring('far', 'job 1');
  t.equal(turns.turn(), 'measure', 'another machine had its turn');
  turns.startMeasuring('host', 'job 2');
  t.equal(turns.turn(), 'score');
});

t.test('a coordinator without a boot id takes no turns', async (t) => {
  const turns = createHostTurns('');
  turns.startMeasuring('', 'job 1');
  t.ok(turns.mayScore());
  turns.startScoring();
  t.ok(turns.mayMeasure(''));
});
