import { hugePageEnvironment, isAllocationFailure, runChild } from '@fleetlora/agent/child';
import { explainChild } from '@fleetlora/agent/measure';
import t from 'tap';

const entry = new URL('../lib/children/end-badly.js', import.meta.url);
const run = (how: string, timeoutMs = 60_000, signal?: AbortSignal) =>
  runChild({ entry, request: { how }, parse: (answer) => answer, timeoutMs, signal });

const cases = [
  ['abort', { kind: 'died', signal: 'SIGABRT' }, 'infeasible', /crashed with SIGABRT/],
  [
    'SIGKILL',
    { kind: 'died', signal: 'SIGKILL' },
    'infeasible',
    /killed by SIGKILL, most likely out of memory/,
  ],
  ['SIGSEGV', { kind: 'died', signal: 'SIGSEGV' }, 'infeasible', /crashed with SIGSEGV/],
  ['noMemory', { kind: 'threw', code: 'BUG' }, 'infeasible', /found no memory/],
  ['throw', { kind: 'threw', code: 'BUG' }, 'failed', /no such file/],
  ['exit3', { kind: 'died', exitCode: 3 }, 'failed', /exit code 3/],
] as const;
for (const [how, outcome, verdict, reason] of cases)
  t.test(`a child that ends by ${how} is ${verdict}`, async (t) => {
    const found = await run(how);
    t.match(found, outcome);
    if (found.kind === 'answered') return t.fail('it answered');
    t.match(explainChild(found, 'timing', 1), { outcome: verdict, reason });
  });

t.test('a child that answers', async (t) => {
  t.same(await run('well'), { kind: 'answered', answer: { how: 'well' } });
});

t.test('a child that hangs is killed when its time is up: a failure, no finding', async (t) => {
  const found = await run('hang', 300);
  t.same(found, { kind: 'timedOut', afterMs: 300 });
  if (found.kind === 'timedOut')
    t.match(explainChild(found, 'timing', 300), { outcome: 'failed', reason: /300 ms/ });
});

t.test('a child is killed when its job is canceled', async (t) => {
  const abort = new AbortController();
  const running = run('hang', 60_000, abort.signal);
  abort.abort();
  t.same(await running, { kind: 'canceled' });
  t.same(await run('well', 60_000, abort.signal), { kind: 'canceled' }, 'an aborted one is not begun');
});

t.test('an answer that does not fit is an error of ours', async (t) => {
  const found = await runChild({
    entry,
    request: { how: 'well' },
    parse: () => {
      throw new Error('wanted a number');
    },
    timeoutMs: 60_000,
  });
  t.match(found, { kind: 'threw', code: 'BUG', message: /wanted a number/ });
});

for (const [killer, verdict] of [
  ['memory', 'infeasible'],
  ['other', 'failed'],
  ['unknown', 'infeasible'],
] as const)
  t.test(`a child killed by ${killer} is ${verdict}`, async (t) => {
    const died = { kind: 'died', signal: 'SIGKILL', exitCode: null, killer } as const;
    t.match(explainChild(died, 'timing', 1), { outcome: verdict, reason: /^timing was killed by SIGKILL/ });
  });

t.test('a stop of the agent says nothing of a candidate', async (t) => {
  t.match(explainChild({ kind: 'died', signal: 'SIGTERM', exitCode: null }, 'timing', 1), {
    outcome: 'failed',
  });
  t.match(explainChild({ kind: 'died', signal: null, exitCode: 0xc0000005 }, 'timing', 1), {
    outcome: 'infeasible',
    reason: /0xc0000005/,
  });
  t.match(
    explainChild({ kind: 'threw', code: 'GENOME_MALFORMED', errorKind: 'input', message: 'x' }, 'timing', 1),
    {
      outcome: 'rejected',
    },
  );
});

t.test('what allocation failures look like', async (t) => {
  for (const text of [
    'std::bad_alloc',
    'RangeError: Array buffer allocation failed',
    'Cannot allocate memory',
  ])
    t.ok(isAllocationFailure(text), text);
  t.notOk(isAllocationFailure('ENOENT: no such file or directory'));
});

t.test('huge pages are asked for, and a user’s own word on the C library is kept', (t) => {
  const before = process.env.GLIBC_TUNABLES;
  t.teardown(() => {
    if (before === undefined) delete process.env.GLIBC_TUNABLES;
    else process.env.GLIBC_TUNABLES = before;
  });
  const asked = (own?: string): string[] => {
    if (own === undefined) delete process.env.GLIBC_TUNABLES;
    else process.env.GLIBC_TUNABLES = own;
    return (
      hugePageEnvironment()
        .GLIBC_TUNABLES?.split(':')
        .map((one) => one.replace('glibc.malloc.', '')) ?? []
    );
  };
  const all = ['hugetlb=1', 'arena_max=2', 'mmap_threshold=33554432'];
  t.strictSame(asked(), all);
  t.strictSame(asked('glibc.malloc.hugetlb=0'), ['hugetlb=0', ...all.slice(1)]);
  t.strictSame(asked('glibc.malloc.check=1'), ['check=1', ...all]);
  t.end();
});
