import { createHeartbeat } from '@fleetlora/agent/link';
import { type Progress, progressEveryMs, progressLostMs } from '@fleetlora/shared/protocol';
import t from 'tap';

const jobId = 'job_0123456789';

/** A list that `size` entries can be waited for. */
function listTold(): {
  told: Progress[];
  tell(progress: Progress): void;
  until(size: number): Promise<void>;
} {
  const told: Progress[] = [];
  let wake: () => void = () => {};
  return {
    told,
    tell(progress) {
      told.push(progress);
      wake();
    },
    async until(size) {
      while (told.length < size) {
        // The timers of heartbeats keep no process alive, and tap's stops as soon as nothing does.
        const alive = setInterval(() => {}, 1000);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        clearInterval(alive);
      }
    },
  };
}

t.test('four heartbeats fit into the silence after which a job is lost', async (t) => {
  t.equal(progressLostMs / progressEveryMs, 4);
});

t.test('each step is told at once, then again and again until the next, or the end', async (t) => {
  const list = listTold();
  const heartbeat = createHeartbeat(list.tell, 5);
  heartbeat.beat({ jobId, step: 'cooling' });
  t.same(list.told, [{ jobId, step: 'cooling' }]);
  await list.until(3);
  heartbeat.beat({ jobId, step: 'timing', done: 1, of: 5 });
  const before = list.told.length;
  await list.until(before + 3);
  t.same(
    new Set(list.told.slice(0, before - 1).map(({ step }) => step)),
    new Set(['cooling']),
    'the same words',
  );
  t.same(new Set(list.told.slice(before - 1).map(({ step }) => step)), new Set(['timing']), 'and no others');
  heartbeat.end();
  const atEnd = list.told.length;
  const other = listTold();
  const reference = createHeartbeat(other.tell, 5);
  reference.beat({ jobId, step: 'waiting' });
  await other.until(5);
  reference.end();
  t.equal(list.told.length, atEnd, 'silent while another one beats five times');
});

t.test('an end before any beat, and a second one, are harmless', async (t) => {
  const list = listTold();
  const heartbeat = createHeartbeat(list.tell, 5);
  heartbeat.end();
  heartbeat.beat({ jobId, step: 'timing' });
  heartbeat.end();
  heartbeat.end();
  t.equal(list.told.length, 1);
});
