import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ModelSlot, type SlotFollower, startCompletionServer } from '@fleetlora/agent/serve';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { createRandom } from '@fleetlora/shared/random';
import t, { type Test } from 'tap';
import { readEvents } from '../lib/read-events.js';
import { createTestIds } from '../lib/test-ids.js';

/** What a slot would do with a request; it ends when it returns. */
type Speak = (follower: Required<SlotFollower>) => Promise<void>;

/** The real door before a model that says what the test wants. */
async function openDoor(t: Test, speak: Speak, stalledAfterMs = 60_000) {
  const logged: string[] = [];
  const slot = {
    complete: async (_request: unknown, follower: Required<SlotFollower>) => {
      await speak(follower);
      return { text: '', finishReason: 'stop', promptTokens: 1, completionTokens: 1, model: 'm' };
    },
    model: async () => 'm',
    isLoaded: () => true,
  } as unknown as ModelSlot;
  const server = await startCompletionServer({
    port: 0,
    slot,
    status: () => ({}),
    clock: systemClock,
    random: createRandom(1),
    newId: createTestIds(),
    log: { debug() {}, info() {}, warn() {}, error: (_fields, message) => void logged.push(String(message)) },
    stalledAfterMs,
  });
  t.teardown(() => server.close());
  const body = JSON.stringify({ prompt: 'a', stream: true });
  const ask = () =>
    fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
  /** A client that sends the request and reads nothing. */
  const askDeaf = (): Socket => {
    const { port, host } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1').pause();
    socket.on('error', () => {});
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
    t.teardown(() => socket.destroy());
    return socket;
  };
  return { ask, askDeaf, logged, server };
}

/** 256 KiB: a client that does not read has its buffers full after a few dozen. */
const large = 'x'.repeat(256 * 1024);

t.test('an answer without text is a stream all the same', async (t) => {
  const { ask } = await openDoor(t, async () => {});
  const events = await readEvents(await ask());
  t.match(JSON.parse(events[0] ?? ''), { model: 'm', choices: [{ text: '', finish_reason: 'stop' }] });
  t.same(events.slice(1), ['[DONE]']);
});

t.test('an error before the first piece is a status, one after it the last event', async (t) => {
  const broken = new CodedError('CHILD_FAILED', 'the process of model m ended by SIGKILL');
  const before = await openDoor(t, () => Promise.reject(broken));
  const refused = await before.ask();
  t.equal(refused.status, 503);
  t.match(await refused.json(), { error: { code: 'CHILD_FAILED' } });
  const during = await openDoor(t, async ({ onPiece }) => {
    await onPiece('half', 'm');
    throw broken;
  });
  const response = await during.ask();
  t.equal(response.status, 200);
  const events = (await readEvents(response)).map((event) => JSON.parse(event) as object);
  t.match(events, [
    { choices: [{ text: 'half', finish_reason: null }] },
    { error: { code: 'CHILD_FAILED', type: 'server_error', message: /SIGKILL/ } },
  ]);
  t.same(during.logged, ['a streamed completion broke off']);
  const bug = await openDoor(t, async ({ onPiece }) => {
    await onPiece('half', 'm');
    throw new Error('column "secret" in /home/someone');
  });
  const [, told] = await readEvents(await bug.ask());
  t.same(JSON.parse(told ?? ''), {
    error: { message: 'the agent failed; its log says more', type: 'server_error', code: 'BUG' },
  });
});

t.test('a client that hangs up ends the generation', async (t) => {
  let heard = (): void => {};
  const canceled = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const { ask } = await openDoor(t, async ({ onPiece, signal }) => {
    await onPiece('first', 'm');
    if (!signal.aborted) await once(signal, 'abort');
    await onPiece('nobody reads this', 'm');
    heard();
  });
  const reader = (await ask()).body?.getReader();
  t.match(new TextDecoder().decode((await reader?.read())?.value), 'first');
  await reader?.cancel();
  await canceled;
});

t.test('a door that closes ends the answers under way, and says so', async (t) => {
  const { ask, server } = await openDoor(t, async ({ onPiece, signal }) => {
    await onPiece('half', 'm');
    if (!signal.aborted) await once(signal, 'abort');
  });
  const response = await ask();
  await server.close();
  const [first = '', last = '', ...more] = await readEvents(response);
  t.match(JSON.parse(first), { choices: [{ text: 'half' }] });
  t.match(JSON.parse(last), { error: { code: 'STATE_CONFLICT', message: 'the agent is stopping' } });
  t.same(more, []);
});

t.test('a client that does not read holds the model back, and is cut off in the end', async (t) => {
  let pieces = 0;
  let heard = (): void => {};
  const ended = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const { askDeaf } = await openDoor(
    t,
    async ({ onPiece, signal }) => {
      while (!signal.aborted) {
        pieces++;
        await onPiece(large, 'm');
      }
      heard();
    },
    100,
  );
  askDeaf();
  await ended;
  // Without back-pressure the loop would not have come to the timer at all.
  t.ok(pieces < 1000, `${pieces} pieces of 256 KiB`);
});
