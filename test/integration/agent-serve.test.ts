import { request as httpRequest } from 'node:http';
import {
  createModelSlot,
  createServingActivity,
  openModelProcess,
  startCompletionServer,
} from '@fleetlora/agent/serve';
import { systemClock } from '@fleetlora/shared/clock';
import { generateGreedy, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { CompletionResponse, limits, parseAs } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { layTinyModel } from '../lib/laid-models.js';
import { createTestIds } from '../lib/test-ids.js';
import { openTinySpec } from '../lib/tiny-model-spec.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

const patience = { loadTimeoutMs: 60_000 };

t.test('a model process continues as a decoder in this process does', async (t) => {
  const spec = await openTinySpec(t);
  const process = await openModelProcess(spec, patience);
  t.teardown(() => process.close());
  const model = await layTinyModel();
  const base = { fileName: 'base', file: await readTensorFile(bufferSource(model.base)) };
  const decoder = await openDecoder(
    createNodeRuntime(),
    { folder: spec.files.folder, base, overlay: null, genome: null },
    { threads: 1, positions: 64 },
  );
  const expected: number[] = [];
  for await (const id of generateGreedy(decoder, [5, 6, 7], { maxTokens: 8, stopIds: [0] }))
    expected.push(id);
  await decoder.close();
  t.same(await process.continueGreedily([5, 6, 7], 8), expected);
});

t.test('requests of one model wait for each other, sixteen at most', async (t) => {
  const process = await openModelProcess(await openTinySpec(t), patience);
  t.teardown(() => process.close());
  const ask = () => process.continueGreedily([5], 2);
  const asked = Array.from({ length: 17 }, ask);
  await t.rejects(asked[16] as Promise<unknown>, coded('BUSY', 16));
  await Promise.all(asked.slice(0, 16));
  await ask();
});

t.test('closing finishes what is under way and takes nothing new', async (t) => {
  const process = await openModelProcess(await openTinySpec(t), patience);
  const running = process.continueGreedily([5], 8);
  const closing = process.close();
  await t.rejects(process.continueGreedily([5], 1), coded('STATE_CONFLICT'));
  t.ok((await running).length > 0);
  await closing;
  t.equal(process.alive, false);
});

t.test('a model that does not load, and a process that dies', async (t) => {
  const spec = await openTinySpec(t);
  const lost = { ...spec, files: { ...spec.files, base: 'lost' } };
  await t.rejects(openModelProcess(lost, patience), coded('NOT_FOUND', 'lost'));
  const entry = new URL('../lib/children/abort-child.js', import.meta.url);
  await t.rejects(openModelProcess(spec, { ...patience, entry }), coded('CHILD_FAILED', 'SIGABRT'));
  const hang = new URL('../lib/children/hang-child.js', import.meta.url);
  await t.rejects(
    openModelProcess(spec, { loadTimeoutMs: 200, entry: hang }),
    coded('CHILD_FAILED', 'SIGKILL'),
  );
});

async function openServer(t: Test, installed = true) {
  const spec = await openTinySpec(t);
  const activity = createServingActivity();
  const slot = createModelSlot({
    activity,
    findBase: async () => null,
    onRetireError: (error) => void t.fail(String(error)),
  });
  if (installed) slot.switchTo({ name: 'tiny', open: () => openModelProcess(spec, patience) }, null);
  const server = await startCompletionServer({
    port: 0,
    slot,
    status: () => ({ connected: false }),
    clock: systemClock,
    random: createRandom(1),
    newId: createTestIds(),
    log: silent,
  });
  t.teardown(async () => {
    await server.close();
    await slot.close();
  });
  const post = (body: unknown, type = 'application/json') =>
    fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { server, post, activity };
}
const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { code: string; message: string } }).error;

t.test('POST /v1/completions in the shape of OpenAI', async (t) => {
  const { post, server, activity } = await openServer(t);
  const response = await post({ prompt: 'ab', max_tokens: 5, model: 'any' });
  t.equal(response.status, 200);
  const answer = parseAs(CompletionResponse, await response.json(), 'answer');
  t.match(answer, { object: 'text_completion', model: 'tiny', usage: { prompt_tokens: 2 } });
  t.equal(answer.usage.total_tokens, 2 + answer.usage.completion_tokens);
  const again = parseAs(
    CompletionResponse,
    await (await post({ prompt: 'ab', max_tokens: 5 })).json(),
    'answer',
  );
  t.equal(again.choices[0]?.text, answer.choices[0]?.text, 'greedy by default');
  const seeded = { prompt: 'ab', max_tokens: 20, temperature: 2, seed: 5 };
  const [one, two] = await Promise.all([post(seeded), post(seeded)]);
  t.same(
    ((await one.json()) as CompletionResponse).choices,
    ((await two.json()) as CompletionResponse).choices,
  );
  t.equal(activity.startedRequests(), 4);
  t.match(await (await fetch(`${server.url}/health`)).json(), {
    status: 'ok',
    model: 'tiny',
    connected: false,
  });
  t.match(await (await fetch(`${server.url}/v1/models`)).json(), { object: 'list', data: [{ id: 'tiny' }] });
});

t.test('requests that cannot be served', async (t) => {
  const { post, server } = await openServer(t);
  const refused = async (body: unknown, status: number, code: string, ...words: string[]) => {
    const response = await post(body);
    t.equal(response.status, status, JSON.stringify(body).slice(0, 60));
    const error = await errorOf(response);
    t.equal(error.code, code);
    for (const word of words) t.match(error.message, word);
  };
  await refused({}, 400, 'MESSAGE_MALFORMED', 'prompt');
  await refused({ prompt: '' }, 400, 'MESSAGE_MALFORMED', '/prompt');
  await refused({ prompt: 'a', max_tokens: 0 }, 400, 'MESSAGE_MALFORMED', '/max_tokens');
  await refused({ prompt: 'a', max_tokens: '5' }, 400, 'MESSAGE_MALFORMED', '/max_tokens');
  await refused({ prompt: 'a', temperature: 2.1 }, 400, 'MESSAGE_MALFORMED', '/temperature');
  await refused({ prompt: 'a', stream: 'yes' }, 400, 'MESSAGE_MALFORMED', '/stream');
  await refused({ prompt: 'a', stream_options: {} }, 400, 'BAD_REQUEST', 'stream_options');
  await refused({ prompt: 'a', stop: 'b\ud83d' }, 400, 'BAD_REQUEST', 'half a character');
  await refused({ prompt: 'a', top_p: 0.5 }, 400, 'MESSAGE_MALFORMED');
  await refused('{"prompt":', 400, 'BAD_REQUEST');
  // 64 positions: a prompt of 48 bytes leaves 16, one of 49 does not.
  t.equal((await post({ prompt: 'a'.repeat(48) })).status, 200);
  await refused({ prompt: 'a'.repeat(49) }, 400, 'BAD_REQUEST', '49 prompt tokens', '64 positions');
  await refused({ prompt: 'a'.repeat(limits.promptCharacters) }, 400, 'BAD_REQUEST', '65536 prompt tokens');
  await refused({ prompt: 'a'.repeat(limits.promptCharacters + 1) }, 400, 'MESSAGE_MALFORMED', '/prompt');
  t.equal((await post({ prompt: 'a'.repeat(600_000) })).status, 413);
  t.equal((await post('prompt', 'text/csv')).status, 415);
  t.equal((await fetch(`${server.url}/v1/chat/completions`)).status, 404);
  const early = await post({ prompt: 'a'.repeat(49), stream: true });
  t.equal(early.status, 400, 'what is wrong before the first piece is told by a status');
  t.match(await errorOf(early), { code: 'BAD_REQUEST', message: /49 prompt tokens/ });
});

t.test('a page that lets its own name resolve to this machine is refused', async (t) => {
  const { server } = await openServer(t);
  const statusFor = (host: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const sent = httpRequest(`${server.url}/health`, { headers: { host } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on('error', reject).end();
    });
  t.equal(await statusFor('evil.example:80'), 403);
  t.equal(await statusFor('127.0.0.1.evil.example'), 403);
  t.equal(await statusFor('localhost:7412'), 200);
});

t.test('with nothing installed the answer is 503', async (t) => {
  const { post, server } = await openServer(t, false);
  const response = await post({ prompt: 'a' });
  t.equal(response.status, 503);
  t.equal((await errorOf(response)).code, 'NOTHING_INSTALLED');
  t.same(await (await fetch(`${server.url}/v1/models`)).json(), { object: 'list', data: [] });
});

t.test('a port that is taken', async (t) => {
  const { server } = await openServer(t, false);
  const port = Number(new URL(server.url).port);
  const slot = createModelSlot({
    activity: createServingActivity(),
    findBase: async () => null,
    onRetireError: (error) => void t.fail(String(error)),
  });
  const doors = {
    slot,
    status: () => ({}),
    clock: systemClock,
    random: createRandom(1),
    newId: createTestIds(),
  };
  await t.rejects(startCompletionServer({ ...doors, port, log: silent }), coded('PORT_IN_USE', port));
});
