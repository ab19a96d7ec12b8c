import {
  createModelSlot,
  createServingActivity,
  openModelProcess,
  startCompletionServer,
} from '@fleetlora/agent/serve';
import { systemClock } from '@fleetlora/shared/clock';
import {
  ChatCompletionChunk,
  ChatCompletionResponse,
  CompletionChunk,
  CompletionResponse,
  limits,
  parseAs,
} from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import t, { type Test } from 'tap';
import type { layTinyModel } from '../lib/laid-models.js';
import { readEvents } from '../lib/read-events.js';
import { createTestIds } from '../lib/test-ids.js';
import { openTinySpec } from '../lib/tiny-model-spec.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const patience = { loadTimeoutMs: 60_000 };

/** In the manner of ChatML, short enough for 64 positions. */
const chat = {
  template:
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('late system') }}{% endif %}" +
    '<{{ m.role[0] }}>{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}',
  tokens: { eos_token: '<|end|>' },
};

async function openServer(t: Test, options: Parameters<typeof layTinyModel>[0] = { chat }) {
  const spec = await openTinySpec(t, options);
  const slot = createModelSlot({
    activity: createServingActivity(),
    findBase: async () => null,
    onRetireError: (error) => void t.fail(String(error)),
  });
  slot.switchTo({ name: 'tiny', open: () => openModelProcess(spec, patience) }, null);
  const server = await startCompletionServer({
    port: 0,
    slot,
    status: () => ({}),
    clock: systemClock,
    random: createRandom(1),
    newId: createTestIds(),
    log: silent,
  });
  t.teardown(async () => {
    await server.close();
    await slot.close();
  });
  const post = (path: 'completions' | 'chat/completions', body: object) =>
    fetch(`${server.url}/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  return { post };
}

t.test('a streamed text is the text of the answer in one piece [temperatures 0 and 2]', async (t) => {
  const { post } = await openServer(t);
  for (const request of [
    { prompt: 'ab', max_tokens: 40 },
    // Random bytes: most are no character, or only with the next ones.
    ...[1, 2, 3].map((seed) => ({ prompt: 'ab', max_tokens: 60, temperature: 2, seed })),
  ]) {
    const whole = parseAs(CompletionResponse, await (await post('completions', request)).json(), 'answer');
    const response = await post('completions', {
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    t.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    const events = await readEvents(response);
    t.equal(events.pop(), '[DONE]');
    const chunks = events.map((event) => parseAs(CompletionChunk, JSON.parse(event), 'chunk'));
    t.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    const usage = chunks.pop();
    t.same([usage?.choices, usage?.usage], [[], whole.usage]);
    t.ok(chunks.every((chunk) => chunk.usage === null));
    t.equal(chunks.map(({ choices }) => choices[0]?.text).join(''), whole.choices[0]?.text);
    t.same(
      chunks.map(({ choices }) => choices[0]?.finish_reason),
      [...chunks.slice(1).map(() => null), whole.choices[0]?.finish_reason],
    );
    const [longest = ''] = [whole.choices[0]?.text ?? ''];
    const stop = [...longest].slice(5, 7).join('');
    const stopped = { ...request, stop };
    const short = parseAs(CompletionResponse, await (await post('completions', stopped)).json(), 'answer');
    const shortEvents = await readEvents(await post('completions', { ...stopped, stream: true }));
    t.equal(shortEvents.pop(), '[DONE]');
    const pieces = shortEvents.map((event) => parseAs(CompletionChunk, JSON.parse(event), 'chunk'));
    t.equal(pieces.map(({ choices }) => choices[0]?.text).join(''), short.choices[0]?.text, `stop ${stop}`);
    t.ok(pieces.every((chunk) => chunk.usage === undefined));
    t.equal(short.choices[0]?.finish_reason, 'stop');
    t.notOk(short.choices[0]?.text.includes(stop));
  }
});

t.test('a conversation is answered as the text that its template makes of it', async (t) => {
  const { post } = await openServer(t);
  const messages = [
    { role: 'system', content: 'S' },
    { role: 'user', content: 'ab' },
    { role: 'assistant', content: 'c' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'd' },
        { type: 'text', text: 'e' },
      ],
    },
  ];
  const prompt = '<s>S<|end|><u>ab<|end|><a>c<|end|><u>de<|end|><a>';
  const plain = await (await post('completions', { prompt, max_tokens: 12 })).json();
  const response = await post('chat/completions', { messages, max_tokens: 12 });
  const answer = parseAs(ChatCompletionResponse, await response.json(), 'answer');
  // 5 frames of 3 bytes, 6 bytes of content, 4 end tokens of one id each.
  t.equal(answer.usage.prompt_tokens, 25);
  t.equal(answer.choices[0]?.message.content, (plain as CompletionResponse).choices[0]?.text);
  t.same(answer.usage, (plain as CompletionResponse).usage);

  const events = await readEvents(
    await post('chat/completions', {
      messages,
      max_completion_tokens: 12,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  t.equal(events.pop(), '[DONE]');
  const chunks = events.map((event) => parseAs(ChatCompletionChunk, JSON.parse(event), 'chunk'));
  t.same(chunks[0]?.choices[0]?.delta, { role: 'assistant', content: '' });
  t.same(chunks.pop()?.usage, answer.usage);
  t.same(chunks.at(-1)?.choices, [{ index: 0, delta: {}, finish_reason: answer.choices[0]?.finish_reason }]);
  t.equal(
    chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''),
    answer.choices[0]?.message.content,
  );
});

t.test('without max_tokens a conversation may fill the context [64 positions]', async (t) => {
  const { post } = await openServer(t);
  const messages = [{ role: 'user', content: 'ab' }];
  const response = await post('chat/completions', { messages, temperature: 2, seed: 3 });
  const { usage, choices } = parseAs(ChatCompletionResponse, await response.json(), 'answer');
  t.equal(usage.prompt_tokens, 9);
  t.ok(usage.total_tokens === 64 || choices[0]?.finish_reason === 'stop', JSON.stringify(usage));
});

t.test('a base without a template gets the contents joined by newlines', async (t) => {
  const { post } = await openServer(t, {});
  const messages = [
    { role: 'system', content: 'S' },
    { role: 'user', content: 'ab' },
  ];
  const response = await post('chat/completions', { messages, max_tokens: 8 });
  const plain = await (await post('completions', { prompt: 'S\nab', max_tokens: 8 })).json();
  const answer = parseAs(ChatCompletionResponse, await response.json(), 'answer');
  t.equal(answer.choices[0]?.message.content, (plain as CompletionResponse).choices[0]?.text);
  t.same(answer.usage, (plain as CompletionResponse).usage);
});

t.test('conversations that cannot be answered', async (t) => {
  const { post } = await openServer(t);
  const user = { role: 'user', content: 'a' };
  const refused = async (body: object, code: string, ...words: string[]) => {
    const response = await post('chat/completions', body);
    t.equal(response.status, 400, JSON.stringify(body).slice(0, 60));
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    t.equal(error.code, code);
    for (const word of words) t.match(error.message, word);
  };
  await refused({}, 'MESSAGE_MALFORMED', 'messages');
  await refused({ messages: [] }, 'MESSAGE_MALFORMED', '/messages');
  await refused({ messages: [{ role: 'tool', content: 'a' }] }, 'MESSAGE_MALFORMED', '/messages/0/role');
  await refused({ messages: [{ role: 'user', content: null }] }, 'MESSAGE_MALFORMED', '/messages/0/content');
  await refused({ messages: [user], tools: [] }, 'MESSAGE_MALFORMED', 'not a known field');
  await refused({ messages: [user], max_tokens: 1, max_completion_tokens: 1 }, 'BAD_REQUEST', 'wanted one');
  await refused({ messages: [user, { ...user, role: 'system' }] }, 'BAD_REQUEST', 'late system');
  const half = { role: 'user', content: 'a'.repeat(limits.promptCharacters / 2) };
  await refused({ messages: [half, half] }, 'BAD_REQUEST', 'do not fit into 64 positions');
  await refused({ messages: [half, half, user] }, 'BAD_REQUEST', '65537 characters');
  const many = (count: number) => Array.from({ length: count }, () => user);
  await refused({ messages: many(limits.chatMessages) }, 'BAD_REQUEST', '64 positions');
  await refused({ messages: many(limits.chatMessages + 1) }, 'MESSAGE_MALFORMED', '/messages');
});

t.test('a template that loops is ended, and the model goes on', async (t) => {
  const endless =
    '{% for a in range(4096) %}{% for b in range(4096) %}{% for c in range(4096) %}{% endfor %}{% endfor %}{% endfor %}';
  const { post } = await openServer(t, { chat: { template: endless, tokens: {} } });
  const response = await post('chat/completions', { messages: [{ role: 'user', content: 'a' }] });
  t.equal(response.status, 400);
  t.match(await response.json(), { error: { code: 'BAD_REQUEST', message: /chat template was not done/ } });
  t.equal((await post('completions', { prompt: 'a' })).status, 200);
});

t.test('a canceled completion ends early, a slow reader holds it [4000 tokens asked for]', async (t) => {
  const process = await openModelProcess(await openTinySpec(t, { positions: 4096 }), patience);
  t.teardown(() => process.close());
  const request = { prompt: 'ab', maxTokens: 4000, temperature: 2, seed: 1, stop: [] };
  const leave = new AbortController();
  let letGo = (): void => {};
  const holding = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let pieces = 0;
  const slow = process.complete(request, {
    signal: leave.signal,
    onPiece: () => {
      pieces++;
      leave.abort();
      return holding;
    },
  });
  // The model is free for the next one, though the reader of the first still holds its piece.
  t.ok((await process.continueGreedily([5], 4)).length <= 4);
  t.equal(pieces, 1);
  letGo();
  t.ok((await slow).completionTokens < 4000);
  const gone = await process.complete(request, { signal: AbortSignal.abort() });
  t.ok(gone.completionTokens < 4000, 'gone before it began');
});
