import {
  groupCounterFiles,
  judgeKiller,
  parseOomKills,
  parseProcessMemory,
  readProcessMemory,
  weighCandidate,
} from '@fleetlora/agent/measure';
import type { Decoder } from '@fleetlora/shared/engine';
import t from 'tap';

const plan = { promptTokens: 4, kvTokens: 10, prefillRepeats: 3, decodeRepeats: 5, threads: 1 };

/** A decoder that computes nothing. */
function createIdleDecoder(): Decoder {
  let length = 0;
  return {
    positions: 11,
    vocab: 3,
    get length() {
      return length;
    },
    async prefill(ids) {
      length += ids.length;
      return new Float32Array(3);
    },
    async step() {
      length++;
      return new Float32Array(3);
    },
    reset() {
      length = 0;
    },
    setLength(next) {
      length = next;
    },
    async close() {},
  };
}

const status = (hwm: number, anon: number) =>
  `Name:\tnode\nVmPeak:\t  999 kB\nVmHWM:\t  ${hwm} kB\nVmRSS:\t 10 kB\nRssAnon:\t  ${anon} kB\nRssFile:\t 1 kB\n`;

t.test('/proc/PID/status', async (t) => {
  t.same(parseProcessMemory(status(2000, 500)), { highWaterBytes: 2_048_000, anonymousBytes: 512_000 });
  t.equal(parseProcessMemory('Name:\tnode\nState:\tZ (zombie)\n'), null);
  t.equal(await readProcessMemory(2 ** 22 + 1), null, 'no such process');
});

t.test('memory: the mark after the reset is the baseline, the mark at the end the peak', async (t) => {
  const anonymous = [100, 300, 700, 500, 500];
  const marks = [1000, 1500, 2000, 2500, 3000];
  let looks = 0;
  let baselines = 0;
  const gauge = {
    reset: async () => true,
    read: async () => {
      const look = looks++;
      return { highWaterBytes: marks[look] as number, anonymousBytes: anonymous[look] as number };
    },
    residentBytes: () => 0,
  };
  const load = async () => createIdleDecoder();
  const pass = await weighCandidate({ load, vocab: 3, gauge, onBaseline: () => void baselines++ }, plan);
  t.same(pass, { baselineBytes: 1000, peakBytes: 3000, anonymousBytes: 700, memoryMethod: 'vmhwm' });
  t.equal(baselines, 1);
  looks = 0;
  const kept = await weighCandidate({ load, vocab: 3, gauge: { ...gauge, reset: async () => false } }, plan);
  t.equal(kept.memoryMethod, 'vmhwmSinceStart');
});

t.test('memory: without a mark the largest resident set is told, and said so', async (t) => {
  const resident = [10, 20, 50, 40];
  const gauge = {
    reset: async () => false,
    read: async () => null,
    residentBytes: () => resident.shift() as number,
  };
  const load = async () => createIdleDecoder();
  t.same(await weighCandidate({ load, vocab: 3, gauge }, plan), {
    baselineBytes: 10,
    peakBytes: 50,
    anonymousBytes: 50,
    memoryMethod: 'polledRss',
  });
});

t.test('who killed a child, from the counters of the kernel before and after', async (t) => {
  const counts = (group: number | null, system: number | null) => ({ group, system });
  for (const [before, after, killer] of [
    [counts(3, 5), counts(3, 5), 'other'],
    [counts(3, 5), counts(4, 6), 'memory'],
    [counts(3, 5), counts(3, 6), 'memory'],
    [counts(null, 5), counts(null, 5), 'other'],
    [counts(null, 5), counts(null, 6), 'memory'],
    [counts(0, null), counts(0, null), 'other'],
    [counts(null, null), counts(null, null), 'unknown'],
    [counts(3, null), counts(null, 6), 'unknown'],
  ] as const)
    t.equal(judgeKiller(before, after), killer, JSON.stringify([before, after]));
});

t.test('counters of the kernel: cgroup v2, cgroup v1, /proc/vmstat', async (t) => {
  t.equal(parseOomKills('low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n'), 1);
  t.equal(parseOomKills('oom_kill_disable 0\nunder_oom 0\noom_kill 4\n'), 4);
  t.equal(parseOomKills('pgfault 99\noom_kill 17\n'), 17);
  t.equal(parseOomKills('low 0\n'), null);
  t.same(groupCounterFiles('0::/user.slice/agent.service\n'), [
    '/sys/fs/cgroup/user.slice/agent.service/memory.events',
    '/sys/fs/cgroup/memory.events',
  ]);
  t.same(groupCounterFiles('5:cpu,cpuacct:/x\n4:memory:/a/b\n'), [
    '/sys/fs/cgroup/memory/a/b/memory.oom_control',
    '/sys/fs/cgroup/memory/memory.oom_control',
  ]);
});
