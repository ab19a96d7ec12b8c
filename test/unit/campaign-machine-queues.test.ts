import { createMachineQueues } from '@fleetlora/coordinator/campaign';
import t from 'tap';

const on = (bootId: string, id = 'a') => ({ id, bootId });

t.test('one job of a search a machine at ahead 1, unknown machines are not shared', async (t) => {
  const queues = createMachineQueues();
  queues.add(on('far'), 'search', 'job 1');
  t.notOk(queues.hasRoom(on('far'), 'search', 1));
  t.notOk(queues.hasRoom(on('far', 'b'), 'search', 1), 'another device of the machine');
  t.ok(queues.hasRoom(on('far'), 'other search', 1), 'its own queue');
  t.ok(queues.hasRoom(on('elsewhere'), 'search', 1));
  queues.add(on(''), 'search', 'job 2');
  t.notOk(queues.hasRoom(on(''), 'search', 1));
  t.ok(queues.hasRoom(on('', 'b'), 'search', 1), 'two devices without a boot id');
  queues.remove('job 1');
  t.ok(queues.hasRoom(on('far'), 'search', 1));
  queues.remove('job 1');
});

t.test('ahead 3: a machine takes three jobs of a search, whichever of its devices gets them', async (t) => {
  const queues = createMachineQueues();
  for (const [id, job] of [
    ['a', 'job 1'],
    ['b', 'job 2'],
  ] as const)
    queues.add(on('far', id), 'search', job);
  t.ok(queues.hasRoom(on('far'), 'search', 3));
  queues.add(on('far'), 'search', 'job 3');
  t.notOk(queues.hasRoom(on('far'), 'search', 3));
  queues.remove('job 2');
  t.ok(queues.hasRoom(on('far'), 'search', 3));
});
