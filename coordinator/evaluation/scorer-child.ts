/**
 * Entry of the process that foreign scoring code runs in, started by `startScorerProcess` under
 * Node's permission model. This thread only watches: it keeps answering while the code in the
 * other thread does not, ends that when time or memory run out, and ends itself with its parent.
 */
import { Worker } from 'node:worker_threads';
import type { FromScorer, ScorerLimits, ToScorer } from './scorer-messages.js';

const MEMORY_CHECK_MS = 50;

let thread: Worker | null = null;
let limits: ScorerLimits | null = null;
let deadline: NodeJS.Timeout | undefined;
let over = false;

process.on('disconnect', () => process.exit(0));
// A Ctrl-C in the coordinator's terminal is for the coordinator, which ends us itself.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

process.on('message', (message: ToScorer) => {
  if (message.kind === 'load') {
    limits = message.limits;
    thread = startThread(message);
    watchMemory(message.limits.residentBytes);
    wait('be loaded');
  } else {
    wait(`judge ${message.rows.length} answers`);
    thread?.postMessage(message.rows);
  }
});

function startThread({ scorer, limits }: Extract<ToScorer, { kind: 'load' }>): Worker {
  const worker = new Worker(new URL('./scorer-thread.js', import.meta.url), {
    workerData: scorer,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: limits.heapMegabytes, maxYoungGenerationSizeMb: 32 },
  });
  worker.on('message', (message: FromScorer) => {
    clearTimeout(deadline);
    if (message.kind === 'invalid') fail(message.why);
    else if (!over) process.send?.(message);
  });
  worker.on('error', (error: NodeJS.ErrnoException) =>
    fail(
      error.code === 'ERR_WORKER_OUT_OF_MEMORY'
        ? `needed more than its ${limits.heapMegabytes} MiB of memory`
        : `failed: ${String(error.message).slice(0, 300)}`,
    ),
  );
  worker.on('exit', () => fail('ended its thread'));
  return worker;
}

function wait(work: string): void {
  const limitMs = limits?.batchMs ?? 0;
  deadline = setTimeout(() => fail(`needed more than ${limitMs / 1000} s to ${work}`), limitMs);
}

/** Buffers lie outside the heap that `resourceLimits` bounds. */
function watchMemory(residentBytes: number): void {
  setInterval(() => {
    if (process.memoryUsage.rss() > residentBytes)
      fail(`needed more than its ${Math.round(residentBytes / 2 ** 20)} MiB of memory`);
  }, MEMORY_CHECK_MS).unref();
}

/** Says why, once, and ends. */
function fail(why: string): void {
  if (over) return;
  over = true;
  const message: FromScorer = { kind: 'invalid', why };
  if (process.send) process.send(message, () => process.exit(0));
  else process.exit(0);
}
