import { createHostLease, type HostLease, type HostTurn, type HostWork } from '@fleetlora/coordinator/host';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';

const nothing = { running: false, wanted: false };
const running = { running: true, wanted: false };
const wanted = { running: false, wanted: true };
/** One look of a fleet that hands its waiting job out when it is granted the machine. */
const sendIfGranted = (lease: HostLease): Promise<void> =>
  lease.measuring.look(async (granted) => (granted ? running : wanted));

/** A turn that notes what it is told. */
function take(lease: HostLease, work: HostWork, told: string[]): HostTurn {
  return lease.takeTurn(work, {
    onBegin: () => void told.push(`${work} begins`),
    onAsked: () => void told.push(`${work} asked`),
  });
}

t.test('where nothing is measured nobody waits: turns of three kinds begin within the call', async (t) => {
  const lease = createHostLease({ bootId: 'host' });
  const told: string[] = [];
  const turns = (['score', 'train', 'model'] as const).map((work) => take(lease, work, told));
  t.same(told, ['score begins', 'train begins', 'model begins']);
  t.same(lease.measuring.workers(), ['score', 'train', 'model']);
  for (const turn of turns) turn.end();
  t.same(lease.measuring.workers(), []);
  t.equal(turns[0]?.state, 'over');
});

t.test(
  'a measurement waits for the turns under way, which are asked once; none begins meanwhile',
  async (t) => {
    const lease = createHostLease({ bootId: 'host' });
    const told: string[] = [];
    const [score, train] = [take(lease, 'score', told), take(lease, 'train', told)];
    let grants = 0;
    lease.measuring.onGranted(() => grants++);
    await sendIfGranted(lease);
    await sendIfGranted(lease);
    t.same(told.splice(0), ['score begins', 'train begins', 'score asked', 'train asked']);
    t.equal(lease.measuring.state, 'waiting');
    const later = take(lease, 'score', told);
    score?.end();
    t.equal(lease.measuring.state, 'waiting', 'one of two is still under way');
    t.same(told, []);
    train?.end();
    t.equal(lease.measuring.state, 'granted');
    t.equal(grants, 1);
    await sendIfGranted(lease);
    t.equal(lease.measuring.state, 'running');
    t.equal(later?.state, 'waiting');
    await lease.measuring.look(async () => nothing);
    t.same(told, ['score begins']);
    later?.end();
    later?.end();
    t.equal(lease.measuring.state, 'idle');
  },
);

t.test(
  'after a measurement everything that waited begins, though the next one is wanted already',
  async (t) => {
    const lease = createHostLease({ bootId: 'host' });
    const told: string[] = [];
    await sendIfGranted(lease);
    const turns = [take(lease, 'train', told), take(lease, 'score', told)];
    // The job is gone from the list: the machine goes to the others, who are asked at once.
    await lease.measuring.look(async () => wanted);
    t.same(told, ['train begins', 'score begins', 'train asked', 'score asked']);
    for (const turn of turns) turn?.end();
    t.equal(lease.measuring.state, 'granted');
    // Nobody waits now: job after job.
    await sendIfGranted(lease);
    await sendIfGranted(lease);
    t.equal(lease.measuring.state, 'running');
  },
);

t.test('a look is told of the grant that its own finding brought, and looks run one at a time', async (t) => {
  const lease = createHostLease({ bootId: 'host' });
  const grants: boolean[] = [];
  let atOnce = 0;
  const look = (): Promise<void> =>
    lease.measuring.look(async (granted) => {
      t.equal(++atOnce, 1);
      await new Promise(setImmediate);
      atOnce--;
      grants.push(granted);
      return granted ? running : grants.length > 2 ? running : wanted;
    });
  await Promise.all([look(), look(), look()]);
  t.same(grants, [false, true, false, false]);
});

t.test('a look that fails changes nothing, and the next one goes on', async (t) => {
  const lease = createHostLease({ bootId: 'host' });
  await t.rejects(
    lease.measuring.look(() => Promise.reject(new Error('store away'))),
    { message: 'store away' },
  );
  await t.rejects(
    lease.measuring.look(async (granted) => {
      if (granted) throw new Error('not committed');
      return wanted;
    }),
    { message: 'not committed' },
  );
  t.equal(lease.measuring.state, 'granted', 'kept free until a look finds out');
  const told: string[] = [];
  take(lease, 'train', told);
  t.same(told, []);
  await lease.measuring.look(async () => nothing);
  t.same(told, ['train begins']);
});

t.test('a job that runs since before the start has the machine, whoever else does', async (t) => {
  const lease = createHostLease({ bootId: 'host' });
  const told: string[] = [];
  take(lease, 'train', told);
  await lease.measuring.look(async () => running);
  t.equal(lease.measuring.state, 'running');
  t.same(told, ['train begins', 'train asked']);
});

t.test('a turn withdrawn before it began, also by the begin of another, never begins', async (t) => {
  const lease = createHostLease({ bootId: 'host' });
  const told: string[] = [];
  await sendIfGranted(lease);
  const held: { second?: HostTurn } = {};
  lease.takeTurn('score', { onBegin: () => held.second?.end() });
  held.second = take(lease, 'train', told);
  const third = take(lease, 'model', told);
  third.end();
  await lease.measuring.look(async () => nothing);
  t.same(told, []);
  t.same(lease.measuring.workers(), ['score']);
});

t.test('during: runs the task as one turn; what it throws is passed on and ends the turn', async (t) => {
  const lease = createHostLease({ bootId: 'host' });
  t.equal(await lease.during('score', async () => lease.measuring.workers().join()), 'score');
  await t.rejects(
    lease.during('model', () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  t.same(lease.measuring.workers(), []);
});

t.test(
  'during: a signal ends the waiting and not the task, a time at most begins it in any case',
  async (t) => {
    const lease = createHostLease({ bootId: 'host' });
    await sendIfGranted(lease);
    const stop = new AbortController();
    const refused = lease.during('model', async () => t.fail('begun'), { signal: stop.signal });
    stop.abort(new Error('stopping'));
    await t.rejects(refused, { message: 'stopping' });
    await t.rejects(
      lease.during('model', async () => t.fail('begun'), { signal: stop.signal }),
      { message: 'stopping' },
    );
    t.equal(await lease.during('model', async () => 'made', { atMostMs: 1 }), 'made');
    t.equal(lease.measuring.state, 'running');
    await lease.measuring.look(async () => nothing);
    t.equal(lease.measuring.state, 'idle', 'what gave up does not wait any more');
  },
);

t.test('while the coordinator stops nothing begins and nothing is granted', async (t) => {
  const stop = new AbortController();
  const lease = createHostLease({ bootId: 'host', stopping: stop.signal });
  const told: string[] = [];
  const train = take(lease, 'train', told);
  await lease.measuring.look(async () => wanted);
  stop.abort();
  train.end();
  take(lease, 'score', told);
  t.equal(lease.measuring.state, 'waiting');
  await lease.measuring.look(async (granted) => {
    t.notOk(granted);
    return nothing;
  });
  t.same(told, ['train begins', 'train asked']);
});

/**
 * A fleet, scorers, trainings and builders that use one machine at random for `untilMs` of a clock
 * that jumps from event to event. Throws at the first moment at which an invariant does not hold.
 */
async function simulate(seed: number, untilMs: number) {
  const random = createRandom(seed);
  const between = (low: number, high: number): number => low + random.next() * (high - low);
  const lease = createHostLease({ bootId: 'host' });
  let nowMs = 0;
  const events: { atMs: number; run: () => unknown }[] = [];
  const after = (ms: number, run: () => unknown): void => void events.push({ atMs: nowMs + ms, run });
  const counts: Record<HostWork | 'measure', number> = { measure: 0, score: 0, train: 0, model: 0 };
  /** Jobs that were sent, and those that are over: a turn may see one end before it begins. */
  let ended = 0;
  let queued = 0;
  let isRunning = false;
  let isOnline = true;
  let begunWhileWaiting = 0;
  const check = (): void => {
    if (isRunning && lease.measuring.workers().length > 0)
      throw new Error(`${nowMs}: ${lease.measuring.workers()} beside a measurement`);
  };

  const dispatch = (): Promise<void> =>
    lease.measuring.look(async (granted) => {
      if (granted && queued > 0 && isOnline) {
        queued--;
        isRunning = true;
        begunWhileWaiting = 0;
        after(between(50, 3000), () => {
          isRunning = false;
          ended++;
          counts.measure++;
          return dispatch();
        });
      }
      return { running: isRunning, wanted: !isRunning && queued > 0 && isOnline };
    });
  lease.measuring.onGranted(() => after(0, dispatch));

  const work = (kind: HostWork, thinkMs: number, workMs: number): void => {
    if (nowMs >= untilMs) return;
    after(between(0, thinkMs), () => {
      const endedBefore = ended;
      const ends = (ms: number): void =>
        after(ms, () => {
          if (turn.state !== 'begun') return;
          counts[kind]++;
          turn.end();
          work(kind, thinkMs, workMs);
        });
      const turn: HostTurn = lease.takeTurn(kind, {
        onBegin() {
          if (lease.measuring.state === 'waiting' && ++begunWhileWaiting > 0)
            throw new Error(`${nowMs}: a ${kind} began though a measurement waits`);
          if (ended - endedBefore > 1)
            throw new Error(`${nowMs}: a ${kind} waited for ${ended - endedBefore} measurements`);
          ends(kind === 'train' ? 60_000 : between(10, workMs));
        },
        // A training goes on until it is asked; the others come to their end.
        onAsked: () => kind === 'train' && ends(between(0, 2000)),
      });
      // Some give up what they wait for.
      if (random.next() < 0.1)
        after(between(0, 1000), () => {
          if (turn.state !== 'waiting') return;
          turn.end();
          work(kind, thinkMs, workMs);
        });
    });
  };
  for (const kind of ['score', 'score', 'train', 'train', 'train', 'model'] as const)
    work(kind, kind === 'model' ? 20_000 : 500, 2000);
  const arrive = (): void => {
    if (nowMs >= untilMs) return;
    queued += 1 + Math.floor(random.next() * 3);
    after(between(0, 8000), arrive);
    after(0, dispatch);
  };
  after(0, arrive);
  const come = (): void => {
    // Its absence is noticed at the next look; what is under way goes on.
    isOnline = nowMs >= untilMs || random.next() < 0.8;
    if (nowMs < untilMs) after(between(0, 5000), come);
    after(between(0, 1000), dispatch);
  };
  after(0, come);

  while (events.length > 0) {
    events.sort((a, b) => a.atMs - b.atMs);
    const event = events.shift() as { atMs: number; run: () => unknown };
    nowMs = Math.max(nowMs, event.atMs);
    await event.run();
    check();
  }
  return { counts, state: lease.measuring.state, workers: lease.measuring.workers(), queued };
}

for (const seed of [1, 2, 3, 4, 5])
  t.test(
    `an hour of a fleet, two scorers, three trainings and a builder at random, seed ${seed}: nothing beside a measurement, nobody waits for two`,
    async (t) => {
      const { counts, state, workers, queued } = await simulate(seed, 3_600_000);
      t.same(
        { state, workers, queued },
        { state: 'idle', workers: [], queued: 0 },
        'everything came to its end',
      );
      t.ok(
        Object.values(counts).every((count) => count > 100),
        JSON.stringify(counts),
      );
    },
  );
