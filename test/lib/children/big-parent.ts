import { runChild } from '@fleetlora/agent/child';
import { type MemoryPass, parseAs, MemoryPass as schema } from '@fleetlora/shared/protocol';

/**
 * Holds 300 MB of touched memory while a memory pass runs in its child, and tells what that found.
 * @see agent-measure.test.ts
 */
process.once('message', (request) => {
  const ballast = Buffer.alloc(300 * 1024 * 1024, 1);
  const entry = new URL('../../../../agent/dist/measure/memory-child.js', import.meta.url);
  runChild<MemoryPass>({
    entry,
    request,
    parse: (answer) => parseAs(schema, answer, 'memory pass'),
    timeoutMs: 60_000,
  }).then((outcome) => {
    process.send?.({ outcome, parentBytes: process.memoryUsage.rss(), ballast: ballast[ballast.length - 1] });
    process.disconnect();
  });
});
