import {
  createModelSlot,
  createPieceWindow,
  createServingActivity,
  generateText,
  type ModelProcess,
  type TextRequest,
} from '@fleetlora/agent/serve';
import type { LoopDecoder } from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import { createRandom } from '@fleetlora/shared/random';
import { createTokenizer } from '@fleetlora/shared/text';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

const tokenizer = createTokenizer(tinyTokenizer());
const request = (changes: Partial<TextRequest> = {}): TextRequest => ({
  prompt: 'ab',
  maxTokens: 4,
  temperature: 0,
  seed: 1,
  stop: [],
  ...changes,
});
const never = async () => false;
const turn = () => new Promise(setImmediate);
const joined = (turns: readonly { content: string }[]) => turns.map(({ content }) => content).join('\n');

/** A decoder of 8 positions that says the given text, then the end token 0; `chunks` gets what is asked. */
function createParrot(text: string, chunks: number[] = []): LoopDecoder {
  const ids = [...tokenizer.encode(text), 0];
  let said = 0;
  return {
    positions: 8,
    vocab: 257,
    length: 0,
    async write(_, { count, stopIds }) {
      chunks.push(count);
      const written: number[] = [];
      while (written.length < count && !stopIds.includes(written.at(-1) ?? -1))
        written.push(ids[said++] ?? 0);
      return written;
    },
    reset() {
      said = 0;
    },
    setLength() {},
    close: async () => {},
  };
}
const complete = async (text: string, changes: Partial<TextRequest> = {}, isCanceled = never) => {
  const pieces: string[] = [];
  const onPiece = async (piece: string) => void pieces.push(piece);
  const answer = await generateText(
    { decoder: createParrot(text), tokenizer, stopIds: [0], renderChat: joined },
    request(changes),
    createRandom(1),
    { isCanceled, onPiece },
  );
  if (pieces.join('') !== answer.text) throw new Error(`pieces ${pieces} of text ${answer.text}`);
  return answer;
};

t.test('a text ends at its end token, at max_tokens, or before a stop string', async (t) => {
  t.same(await complete('xyz'), { text: 'xyz', finishReason: 'stop', promptTokens: 2, completionTokens: 3 });
  t.same(await complete('wxyz'), {
    text: 'wxyz',
    finishReason: 'length',
    promptTokens: 2,
    completionTokens: 4,
  });
  t.match(await complete('wxyz', { stop: ['yz', 'x'] }), {
    text: 'w',
    finishReason: 'stop',
    completionTokens: 2,
  });
  t.match(await complete('', {}), { text: '', finishReason: 'stop', completionTokens: 0 });
});

t.test('prompt and answer must fit [8 positions: 2 + 6, not 2 + 7]', async (t) => {
  t.match(await complete('abcdefgh', { maxTokens: 6 }), { completionTokens: 6 });
  await t.rejects(
    complete('x', { maxTokens: 7 }),
    coded('BAD_REQUEST', '2 prompt tokens', 'max_tokens 7', '8 positions'),
  );
});

t.test('without max_tokens the answer may fill the cache [8 positions: 7 + 1, not 8]', async (t) => {
  t.match(await complete('abcdefgh', { maxTokens: null }), { completionTokens: 6, finishReason: 'length' });
  t.match(await complete('xyz', { prompt: '1234567', maxTokens: null }), { text: 'x' });
  await t.rejects(
    complete('x', { prompt: '12345678', maxTokens: null }),
    coded('BAD_REQUEST', '8 prompt tokens and an answer', '8 positions'),
  );
});

t.test('the prompt of a conversation is what the template makes of it', async (t) => {
  const prompt = [
    { role: 'user', content: 'ab' },
    { role: 'assistant', content: 'c' },
  ] as const;
  t.match(await complete('x', { prompt }), { text: 'x', promptTokens: 4 }, '"ab\\nc"');
});

t.test(
  'a writer waits for its reader at so many pieces [3], until one is taken or nobody reads',
  async (t) => {
    const window = createPieceWindow(3);
    const state = (sent: Promise<void>) => {
      let done = false;
      void sent.then(() => {
        done = true;
      });
      return () => done;
    };
    await window.sent();
    await window.sent();
    const third = state(window.sent());
    await turn();
    t.equal(third(), false, 'three are under way');
    window.taken();
    await turn();
    t.equal(third(), true);
    const fourth = state(window.sent());
    await turn();
    t.equal(fourth(), false);
    window.open();
    await turn();
    t.equal(fourth(), true);
    await window.sent();
  },
);

t.test('a canceled completion stops at the next chunk', async (t) => {
  let asked = 0;
  const answer = await complete('wxyz', {}, async () => ++asked > 2);
  t.equal(answer.text, 'wxy');
});

t.test('chunks grow from one token, and to no more than may be written', async (t) => {
  const chunksOf = async (positions: number, maxTokens: number): Promise<number[]> => {
    const chunks: number[] = [];
    await generateText(
      {
        decoder: { ...createParrot('x'.repeat(40), chunks), positions },
        tokenizer,
        stopIds: [0],
        renderChat: joined,
      },
      request({ maxTokens }),
      createRandom(1),
      { isCanceled: never, onPiece: async () => {} },
    );
    return chunks;
  };
  t.same(await chunksOf(40, 25), [1, 2, 4, 8, 8, 2]);
  t.same(await chunksOf(8, 6), [1, 2, 3]);
  t.same(await chunksOf(8, 1), [1]);
});

t.test('activity: idle is when nothing is under way', async (t) => {
  const activity = createServingActivity();
  await activity.whenIdle();
  let end = (): void => {};
  const running = activity.during(() => new Promise<void>((resolve) => (end = resolve)));
  t.equal(activity.startedRequests(), 1);
  let idle = false;
  const waiting = activity.whenIdle().then(() => (idle = true));
  const abort = new AbortController();
  const impatient = activity.whenIdle(abort.signal);
  abort.abort(new Error('enough'));
  await t.rejects(impatient, { message: 'enough' });
  t.equal(idle, false);
  end();
  await running;
  await waiting;
  t.equal(activity.startedRequests(), 1);
});

/** A model process whose answers wait for `end`. */
function createFakeProcess(name: string) {
  const ends: (() => void)[] = [];
  let closing = false;
  const fake = {
    name,
    alive: true,
    closed: false,
    end: () => {
      for (const end of ends.splice(0)) end();
    },
    complete: () => {
      if (closing) return Promise.reject(new CodedError('STATE_CONFLICT', 'being replaced'));
      return new Promise((resolve) =>
        ends.push(() => resolve({ text: name, finishReason: 'stop', promptTokens: 1, completionTokens: 1 })),
      );
    },
    continueGreedily: async () => [],
    close: async () => {
      closing = true;
      while (ends.length > 0) await new Promise(setImmediate);
      fake.closed = true;
    },
  };
  return fake;
}
type FakeProcess = ReturnType<typeof createFakeProcess>;
const asProcess = (fake: FakeProcess): ModelProcess => fake as unknown as ModelProcess;
t.test('a request under way is finished by the old model, the next goes to the new one', async (t) => {
  const [old, fresh] = [createFakeProcess('old'), createFakeProcess('new')] as [FakeProcess, FakeProcess];
  const activity = createServingActivity();
  const slot = createModelSlot({
    activity,
    findBase: async () => null,
    onRetireError: (error) => void t.fail(String(error)),
  });
  await t.rejects(slot.complete(request()), coded('NOTHING_INSTALLED'));
  slot.switchTo({ name: 'old', open: async () => asProcess(old) }, asProcess(old));
  const first = slot.complete(request());
  await turn();
  slot.switchTo({ name: 'new', open: async () => asProcess(fresh) }, asProcess(fresh));
  const second = slot.complete(request());
  await turn();
  t.equal(old.closed, false, 'it still works');
  t.equal(activity.requestsInFlight(), 2);
  old.end();
  fresh.end();
  t.match([await first, await second], [{ model: 'old' }, { model: 'new' }]);
  await slot.close();
  t.ok(old.closed && fresh.closed);
});

t.test('the base answers until a release is installed, and is loaded by the first who asks', async (t) => {
  const base = createFakeProcess('base-1');
  let opened = 0;
  const source = {
    name: 'base-1',
    open: async () => {
      opened++;
      return asProcess(base);
    },
  };
  const slot = createModelSlot({
    activity: createServingActivity(),
    findBase: async () => source,
    onRetireError: (error) => void t.fail(String(error)),
  });
  t.equal(await slot.model(), 'base-1');
  t.equal(opened, 0);
  const both = [slot.complete(request()), slot.complete(request())];
  await turn();
  base.end();
  await Promise.all(both);
  t.equal(opened, 1);
  const release = createFakeProcess('release');
  slot.switchTo({ name: 'release', open: async () => asProcess(release) }, asProcess(release));
  t.equal(await slot.model(), 'release');
  await turn();
  await turn();
  t.ok(base.closed);
  await slot.close();
});

t.test('a model whose process died is opened again; one that does not open is tried again', async (t) => {
  const processes = [createFakeProcess('one'), createFakeProcess('two')];
  let opened = 0;
  let broken = false;
  const slot = createModelSlot({
    activity: createServingActivity(),
    findBase: async () => null,
    onRetireError: (error) => void t.fail(String(error)),
  });
  const open = async () => {
    if (broken) throw new CodedError('CHILD_FAILED', 'no memory');
    return asProcess(processes[opened++] as FakeProcess);
  };
  slot.switchTo({ name: 'release', open }, null);
  await slot.load();
  (processes[0] as FakeProcess).alive = false;
  broken = true;
  await t.rejects(slot.complete(request()), coded('CHILD_FAILED'));
  broken = false;
  const answer = slot.complete(request());
  await turn();
  (processes[1] as FakeProcess).end();
  t.match(await answer, { model: 'two' });
  await slot.close();
});
