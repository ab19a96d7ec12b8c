import { readFile } from 'node:fs/promises';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { continueGreedily, openLoopDecoder } from '@fleetlora/shared/engine';
import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { createNodeRuntime, runInTime } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import { chatSourceOf, createChatTemplate, createTokenizer } from '@fleetlora/shared/text';
import { endWithParent, preferAsVictim } from '../child/index.js';
import { openModel } from '../model/index.js';
import { generateText, type Speaker, type TextListener } from './generate-text.js';
import type { FromModel, ModelSpec, ToModel } from './model-messages.js';
import { createPieceWindow, type PieceWindow } from './piece-window.js';

/**
 * Process of a served model: loads once, then answers one request after another until its parent
 * goes. Running a model blocks a thread, so it never runs on the agent's own.
 */
const say = (message: FromModel): void => {
  process.send?.(message);
};
/** Half way: before the agent, after a measured candidate. */
const VICTIM_SCORE = 500;
/** Longest sequence served; the cache of the whole of a long-context model would not fit a board. */
const MAX_POSITIONS = 4096;

/** Pieces on their way to a client: enough to hide the way, few enough to stop with a slow reader. */
const PIECES_UNDER_WAY = 16;
/** A template renders a conversation in milliseconds; one that loops must not hold the model. */
const RENDER_TIMEOUT_MS = 2000;

const canceled = new Set<number>();
let writing: { readonly id: number; readonly window: PieceWindow } | null = null;
let speaker: Speaker | null = null;
let last: Promise<void> = Promise.resolve();

async function load(spec: ModelSpec): Promise<void> {
  await preferAsVictim(VICTIM_SCORE);
  const opened = await openModel(spec.files);
  try {
    const decoder = await openLoopDecoder(createNodeRuntime(), opened.model, {
      threads: spec.threads,
      positions: Math.min(opened.shape.positions, MAX_POSITIONS),
      idle: 'spin',
    });
    const tokenizer = createTokenizer(JSON.parse(await readFile(spec.tokenizerFile, 'utf8')));
    const template = createChatTemplate(chatSourceOf(opened.baseMetadata));
    speaker = {
      decoder,
      tokenizer,
      stopIds: spec.stopIds,
      renderChat: (turns) =>
        runInTime(() => template.render(turns, Date.now()), RENDER_TIMEOUT_MS, 'the chat template'),
    };
  } finally {
    await opened.close();
  }
  say({ kind: 'loaded' });
}

async function answer(message: Exclude<ToModel, { kind: 'load' | 'cancel' | 'taken' }>): Promise<void> {
  if (!speaker) throw new Error('a request came before the model was loaded');
  const { id } = message;
  if (message.kind === 'continue') {
    const options = { maxTokens: message.maxTokens, stopIds: speaker.stopIds };
    const ids = await continueGreedily(speaker.decoder, message.promptIds, options);
    say({ kind: 'continued', id, ids });
    return;
  }
  const window = createPieceWindow(PIECES_UNDER_WAY);
  writing = { id, window };
  const listener: TextListener = {
    async isCanceled() {
      // A run resolves without a turn of the loop; without this a cancel would never be read.
      await turnOfTheLoop();
      return canceled.has(id);
    },
    async onPiece(text) {
      if (!message.pieces) return;
      say({ kind: 'piece', id, text });
      await window.sent();
    },
  };
  if (canceled.has(id)) window.open();
  const random = createRandom(message.request.seed);
  say({ kind: 'completed', id, answer: await generateText(speaker, message.request, random, listener) });
}

function fail(id: number | null, error: unknown): void {
  say({ kind: 'failed', id, code: isCoded(error) ? error.code : 'BUG', message: messageOf(error) });
}

endWithParent();
process.on('message', (value) => {
  const message = value as ToModel;
  if (message.kind === 'cancel') {
    canceled.add(message.id);
    if (writing?.id === message.id) writing.window.open();
    return;
  }
  if (message.kind === 'taken') {
    if (writing?.id === message.id) writing.window.taken();
    return;
  }
  last = last.then(async () => {
    try {
      if (message.kind === 'load') await load(message.spec);
      else await answer(message);
    } catch (error) {
      fail(message.kind === 'load' ? null : message.id, error);
    }
    if (message.kind !== 'load') canceled.delete(message.id);
  });
});
