import { createContentGate } from '@fleetlora/coordinator/retention';
import t from 'tap';
import { coded } from '../lib/coded.js';

const endless = new AbortController().signal;

/** A piece of work that ends when told. */
function held(): { work: () => Promise<string>; begun: Promise<void>; end: () => void } {
  let begin = (): void => {};
  let end = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return {
    begun,
    end,
    async work() {
      begin();
      await ended;
      return 'done';
    },
  };
}
/** Lets everything that is ready run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('holders run at once; a section waits for the last of them', async (t) => {
  const gate = createContentGate();
  const [one, two] = [held(), held()];
  const first = gate.hold('one', one.work);
  const second = gate.hold('two', two.work);
  await Promise.all([one.begun, two.begun]);
  let deleted = false;
  const section = gate.exclusively(async () => {
    deleted = true;
    return 7;
  }, endless);
  one.end();
  t.equal(await first, 'done');
  await settle();
  t.equal(deleted, false);
  two.end();
  t.equal(await second, 'done');
  t.equal(await section, 7);
});

t.test('a holder that comes during a section waits for its end', async (t) => {
  const gate = createContentGate();
  const deleting = held();
  const section = gate.exclusively(deleting.work, endless);
  await deleting.begun;
  let imported = false;
  const holder = gate.hold('import', async () => {
    imported = true;
  });
  await settle();
  t.equal(imported, false);
  deleting.end();
  await section;
  await holder;
  t.equal(imported, true);
});

t.test('a holder inside a holder does not wait for a section that waits for the outer one', async (t) => {
  const gate = createContentGate();
  const order: string[] = [];
  const outer = held();
  const holding = gate.hold('outer', async () => {
    await outer.work();
    await gate.hold('inner', async () => void order.push('inner'));
  });
  await outer.begun;
  const section = gate.exclusively(async () => void order.push('section'), endless);
  outer.end();
  await Promise.all([holding, section]);
  t.same(order, ['inner', 'section']);
});

t.test('of 5 sections one runs at a time, with no holder beside it', async (t) => {
  const gate = createContentGate();
  let sections = 0;
  let holders = 0;
  let runs = 0;
  const sectionWork = async (): Promise<void> => {
    t.equal(++sections, 1);
    t.equal(holders, 0);
    await settle();
    t.equal(holders, 0);
    sections--;
    runs++;
  };
  const holderWork = async (): Promise<void> => {
    holders++;
    t.equal(sections, 0);
    await settle();
    t.equal(sections, 0);
    holders--;
    runs++;
  };
  const all: Promise<void>[] = [];
  for (let i = 0; i < 5; i++)
    all.push(gate.exclusively(sectionWork, endless), gate.hold('a', holderWork), gate.hold('b', holderWork));
  await Promise.all(all);
  t.equal(runs, 15);
});

t.test('patience that ends names who holds, each once, and runs nothing', async (t) => {
  const gate = createContentGate();
  const works = ['a backup', 'an upload', 'an upload', 'x', 'y'].map((what) => {
    const work = held();
    return { work, done: gate.hold(what, work.work) };
  });
  await Promise.all(works.map(({ work }) => work.begun));
  const patience = new AbortController();
  const section = gate.exclusively(() => Promise.reject(new Error('must not run')), patience.signal);
  const refused = t.rejects(section, coded('STATE_CONFLICT', 'a backup, an upload, x and 1 more'));
  patience.abort();
  await refused;
  for (const { work } of works) work.end();
  await Promise.all(works.map(({ done }) => done));
  t.equal(
    await gate.exclusively(async () => 'runs', AbortSignal.abort()),
    'runs',
    'free: no patience needed',
  );
});

t.test('work that fails lets the others in', async (t) => {
  const gate = createContentGate();
  await t.rejects(
    gate.hold('bad', () => Promise.reject(new Error('broken'))),
    /broken/,
  );
  await t.rejects(
    gate.exclusively(() => Promise.reject(new Error('worse')), endless),
    /worse/,
  );
  t.equal(await gate.exclusively(async () => 1, endless), 1);
  t.equal(await gate.hold('good', async () => 2), 2);
});
